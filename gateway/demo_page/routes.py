"""The demo page at `/` and Swagger UI at `/docs`: static files, all from this server, held in memory.

The files of `static/` are served as they are; nothing builds them. Swagger UI's own come with fastapi-offline.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from importlib.resources.abc import Traversable

import orjson
from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from sod.palette import Colour, class_colour, text_colour

PALETTE_SIZE = 512
"""Class ids that `static/palette.json` has a colour for."""

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
_SWAGGER = ("swagger-ui-bundle.js", "swagger-ui.css")
_METHODS = ["GET", "HEAD"]

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class _File:
    """What is sent, and a tag of its content: a new release is seen by its files' tags, not by their dates."""

    body: bytes
    media_type: str
    etag: str


@router.api_route("/", methods=_METHODS)
async def page(request: Request) -> Response:
    """The demo page."""
    return _answer(request, "index.html")


@router.api_route("/docs", methods=_METHODS)
async def docs(request: Request) -> Response:
    """The API's documentation, to try out."""
    return _answer(request, "docs/index.html")


@router.api_route("/static/{path:path}", methods=_METHODS)
async def static(request: Request, path: str) -> Response:
    """What the pages are made of."""
    if path.endswith(".html"):  # their relative links hold at the addresses above only
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return _answer(request, path)


def _answer(request: Request, path: str) -> Response:
    file = _files().get(path)
    if file is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    # Kept by browsers, and asked about at each visit: the modules of two releases never meet.
    headers = {"ETag": file.etag, "Cache-Control": "no-cache"}
    if _knows(request.headers.get("if-none-match", ""), file.etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(file.body, media_type=file.media_type, headers=headers)


def _knows(header: str, etag: str) -> bool:
    """Whether `If-None-Match` names the tag; weak ones count, as RFC 9110 has it."""
    return header.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in header.split(","))


@cache
def _files() -> dict[str, _File]:
    """Path below `/static/` → file. Nothing else is served, so no path can lead out."""
    found = {"palette.json": _file("palette.json", _palette())}
    for path, file in _walk(files("gateway.demo_page") / "static", ""):
        found[path] = _file(path, file.read_bytes())
    for name in _SWAGGER:
        found[f"docs/{name}"] = _file(name, (files("fastapi_offline") / "static" / name).read_bytes())
    return found


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif _suffix(entry.name) in _TYPES:
            yield prefix + entry.name, entry


def _file(name: str, body: bytes) -> _File:
    return _File(body, _TYPES[_suffix(name)], f'"{sha256(body).hexdigest()[:20]}"')


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]


def _palette() -> bytes:
    """The overlay's colours by class id: [box, text on it] as CSS has them."""
    boxes = [class_colour(class_id) for class_id in range(PALETTE_SIZE)]
    return orjson.dumps({"colours": [[_css(box), _css(text_colour(box))] for box in boxes]})


def _css(colour: Colour) -> str:
    blue, green, red = colour
    return f"#{red:02x}{green:02x}{blue:02x}"
