"""The demo page at `/` and Swagger UI at `/docs`: static files, without any from other hosts.

`static/` holds them as they are served, without a build. The files of Swagger UI itself are those of fastapi-offline.
"""

import mimetypes
from http import HTTPStatus

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from sod.drawing.palette import Colour, class_colour, text_colour

PALETTE_SIZE = 512
"""Number of class ids in `static/palette.json`."""

_METHODS = ["GET", "HEAD"]
# In a checkout the examples are links to docs/examples; a wheel contains them as files.
_files = StaticFiles(packages=[("gateway.demo_page", "static")], follow_symlink=True)
_docs_files = StaticFiles(packages=[("gateway.demo_page", "static/docs"), ("fastapi_offline", "static")])
mimetypes.add_type("text/javascript", ".js")  # whatever the system's mime.types says

router = APIRouter(include_in_schema=False)


@router.api_route("/", methods=_METHODS)
async def page(request: Request) -> Response:
    """The demo page."""
    return await _files.get_response("index.html", request.scope)


@router.api_route("/docs", methods=_METHODS)
async def docs(request: Request) -> Response:
    """Swagger UI of the API."""
    return await _docs_files.get_response("index.html", request.scope)


@router.api_route("/static/palette.json", methods=_METHODS)
async def palette() -> Response:
    """The overlay's colours by class id, [box, text on it], in CSS notation."""
    boxes = [class_colour(class_id) for class_id in range(PALETTE_SIZE)]
    colours = [[_css(box), _css(text_colour(box))] for box in boxes]
    return Response(orjson.dumps({"colours": colours}), media_type="application/json")


@router.api_route("/static/docs/{path:path}", methods=_METHODS)
async def docs_static(request: Request, path: str) -> Response:
    """A file of Swagger UI."""
    return await _file_response(_docs_files, path, request)


@router.api_route("/static/{path:path}", methods=_METHODS)
async def static(request: Request, path: str) -> Response:
    """A file of the demo page."""
    return await _file_response(_files, path, request)


async def _file_response(files: StaticFiles, path: str, request: Request) -> Response:
    if path.endswith(".html"):  # the relative links of the pages are valid at `/` and `/docs` only
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return await files.get_response(path, request.scope)


def _css(colour: Colour) -> str:
    blue, green, red = colour
    return f"#{red:02x}{green:02x}{blue:02x}"
