"""Detects the images of one file, and describes each in a row."""

import hashlib
import io
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sod_client._archives.dataset.schema import FAILED, OK, Row, text
from sod_client._archives.inputs.source import FetchError, Source, Stamp
from sod_client._archives.run.gateways import Gateways
from sod_client._calls.in_flight import CALL_ERRORS
from sod_client._inputs.exif import QUARTER_TURNS, orientation_of
from sod_client._inputs.headers import size_in
from sod_client._inputs.items import BrokenItem, Item
from sod_client._inputs.scenes import MAX_BYTES, MAX_PIXELS, SceneItem, is_too_large
from sod_client._inputs.sources import TIFF_SUFFIXES, items_of
from sod_client._results.files import printable
from sod_client.errors import (
    MissingFileError,
    NoGeoreferenceError,
    ServerError,
    SodError,
    UnreadableFileError,
)
from sod_client.result import Result

_MAP_SUFFIXES = TIFF_SUFFIXES | {".jp2", ".j2k"}
_BLOCK = 2**20


@dataclass(frozen=True)
class _EncodedItem(Item):
    """An image as it is sent, which was read and converted before."""

    content: bytes = b""

    def encoded(self) -> bytes:
        """The content."""
        return self.content


class _Named(io.BytesIO):
    """The content of a file with its name, from which the reader takes the kind."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


def rows_of(source: Source, stamp: Stamp, content: bytes | None, gateways: Gateways) -> list[Row]:
    """Detect the images of a file; one that cannot be read or is refused gives a failed row.

    Args:
        source: the file.
        stamp: its stamp.
        content: its content if it was read already.
        gateways: detect its images.

    Raises:
        SodError: the servers do not respond, or refuse the API key.
    """
    blank = Row(text(source.path), None, stamp.size, stamp.version, None, FAILED)
    try:
        is_huge = source.local is not None and (stamp.size or 0) > MAX_BYTES
        if content is None and not is_huge:
            content = source.read()
        sha256 = _file_hash(source.local) if content is None else hashlib.sha256(content).hexdigest()
        blank = replace(blank, sha256=sha256, size=stamp.size if content is None else len(content))
        with (
            tempfile.TemporaryDirectory(prefix="sod-batch-")
            if _needs_file(source, content, gateways)
            else _NoFolder() as folder
        ):
            return [_row(item, blank, gateways) for item in _items(source, content, folder, gateways)]
    except CALL_ERRORS:
        raise
    except SodError as error:
        return [failed(blank, error)]


def failed(blank: Row, error: SodError) -> Row:
    """A row that says why an image failed, without the request's id, which is another in each run."""
    if isinstance(error, ServerError):
        sentence = ServerError(error.status, error.error_code, error.error_msg).sentence + error.hint
        kind = "refused" if error.status < 500 else "server"
    else:
        sentence = error.sentence
        kind = {MissingFileError: "missing", FetchError: "fetch"}.get(type(error), "unreadable")
    return replace(blank, status=FAILED, error_kind=kind, error=printable(sentence))


def _row(item: Item, blank: Row, gateways: Gateways) -> Row:
    row = replace(blank, page=item.page_index)
    try:
        if isinstance(item, BrokenItem | SceneItem):
            size = None
            sent: Item = item
            if isinstance(item, BrokenItem):
                item.encoded()
        else:
            content = item.encoded()
            size = _size(content)
            sent = _EncodedItem(item.input_path, item.page_index, item.index, content)
        result = gateways.detect(sent)
        if size is None and isinstance(item, SceneItem):
            size = result.size
        width, height = size or (None, None)
        crs, polygons = _place(result)
        objects = [
            {
                "class_id": box["cls_id"],
                "label": box["label"],
                "score": box["score"],
                **dict(zip(("x1", "y1", "x2", "y2"), box["coordinate"], strict=True)),
                "polygon": polygons[position] if polygons else None,
            }
            for position, box in enumerate(result.boxes)
        ]
        return replace(row, status=OK, width=width, height=height, crs=crs, objects=objects)
    except CALL_ERRORS:
        raise
    except SodError as error:
        return failed(row, error)
    except Exception as error:  # of a decoder: one odd file must not end the run
        return failed(row, UnreadableFileError(f"the image cannot be processed: {type(error).__name__}: {error}"))


def _place(result: Result) -> tuple[str | None, list[list[float]]]:
    """The coordinate reference system of a scene, and the corners of its objects as longitudes and latitudes."""
    georeference: Any = getattr(result, "_georeference", None)
    if georeference is None:
        return None, []
    try:
        corners = georeference.corners([box["coordinate"] for box in result.boxes])
        return georeference.name, [[float(one) for one in each.ravel()] for each in georeference.to_wgs84(corners)]
    except NoGeoreferenceError:
        return georeference.name, []


def _needs_file(source: Source, content: bytes | None, gateways: Gateways) -> bool:
    """Whether windows must be read from a file that is not local."""
    if content is None or source.local is not None:
        return False
    is_map = gateways.slices_all and source.path.lower().endswith(tuple(_MAP_SUFFIXES))
    return is_map or _is_too_large(content)


def _is_too_large(content: bytes) -> bool:
    size = size_in(io.BytesIO(content))
    return len(content) > MAX_BYTES or (size is not None and size[0] * size[1] > MAX_PIXELS)


def _items(source: Source, content: bytes | None, folder: str | None, gateways: Gateways) -> Iterator[Item]:
    name = source.path
    element: Any
    scenes = gateways.scenes
    is_slicing = gateways.slices_all
    if folder is not None and content is not None:
        path = Path(folder) / f"image{Path(name).suffix}"
        path.write_bytes(content)
        element = path
        is_slicing = True
    elif source.local is not None and (content is None or is_slicing or _is_too_large(content)):
        element = Path(source.local)
        is_slicing = is_slicing or is_too_large(element)
    else:
        element = _Named(content or b"", name)
    for item in items_of(
        element, 0, _never, fetch_all=True, stretch=scenes.stretch, scenes=scenes if is_slicing else None
    ):
        yield replace(item, input_path=name)


def _never(_url: str) -> bytes:
    raise UnreadableFileError("the file is a URL")


def _size(content: bytes) -> tuple[int, int] | None:
    size = size_in(io.BytesIO(content))
    return (size[1], size[0]) if size is not None and orientation_of(content) in QUARTER_TURNS else size


def _file_hash(path: str | None) -> str:
    digest = hashlib.sha256()
    try:
        with open(path or "", "rb") as file:  # noqa: PTH123
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise UnreadableFileError(f"cannot be read: {error.strerror}") from error
    return digest.hexdigest()


class _NoFolder:
    """In place of a temporary folder that is not needed."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None
