"""The web app at `/edge/`, which detects on the device itself: a folder that `make edge` writes."""

import mimetypes
from http import HTTPStatus
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

EDGE_FOLDER = Path(__file__).absolute().parents[2] / "output" / "edge" / "served"
"""The folder unless `SOD_EDGE_DIR` names another: where `make edge` of a checkout writes."""

_METHODS = ["GET", "HEAD"]
for _suffix, _type in {
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".onnx": "application/octet-stream",
    ".ort": "application/octet-stream",
}.items():
    mimetypes.add_type(_type, _suffix)

router = APIRouter(include_in_schema=False)


def edge_files(folder: Path | None) -> StaticFiles:
    """The app's files; the folder may be made while the gateway runs."""
    return StaticFiles(directory=folder or EDGE_FOLDER, check_dir=False)


@router.api_route("/edge", methods=_METHODS)
async def edge() -> Response:
    """The address without its slash, below which the links of the page would not be valid."""
    return RedirectResponse("edge/", HTTPStatus.TEMPORARY_REDIRECT)  # relative: a proxy may serve it below a prefix


@router.api_route("/edge/{path:path}", methods=_METHODS)
async def edge_file(request: Request, path: str) -> Response:
    """A file of the app."""
    files: StaticFiles = request.app.state.edge_files
    try:
        return await files.get_response(path or "index.html", request.scope)
    except HTTPException as error:
        if error.status_code != HTTPStatus.NOT_FOUND or path not in ("", "index.html"):
            raise
        raise HTTPException(
            HTTPStatus.NOT_FOUND, "The web app is not built: run `make edge`, or set SOD_EDGE_DIR to its folder"
        ) from None
