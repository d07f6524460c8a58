"""Small images of a report, with their objects."""

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from sod_client._archives.inputs import listing, stores
from sod_client._inputs.items import BrokenItem
from sod_client._inputs.scenes import MAX_PIXELS
from sod_client._inputs.sources import items_of
from sod_client._results.palette import class_colour
from sod_client.errors import SodError, UnreadableFileError

SIDE = 480


class _Named(io.BytesIO):
    name: str


def thumbnail(row: dict[str, Any]) -> bytes | None:
    """A JPEG of at most `SIDE` pixels on its longest side; None if the image cannot be read any more, or is huge."""
    if not row["width"] or row["width"] * row["height"] > MAX_PIXELS:
        return None
    try:
        image = _decode(row)
    except (SodError, OSError, KeyError, tarfile.TarError, zipfile.BadZipFile, RuntimeError):
        return None
    full = image.width
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    scale, pen = image.width / full, ImageDraw.Draw(image)
    for one in row["objects"]:
        x1, x2 = sorted((one["x1"] * scale - 1, one["x2"] * scale + 1))
        y1, y2 = sorted((one["y1"] * scale - 1, one["y2"] * scale + 1))
        pen.rectangle((x1, y1, x2, y2), outline=class_colour(one["class_id"]))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _decode(row: dict[str, Any]) -> Image.Image:
    named = _Named(_content(row["path"]))
    named.name = row["path"]
    for item in items_of(named, 0, _never, fetch_all=True, stretch="percentile" if _is_tiff(row["path"]) else "none"):
        if not isinstance(item, BrokenItem) and item.page_index == row["page"]:
            return item.decoded()
    raise UnreadableFileError("the image is no longer there")


def _is_tiff(path: str) -> bool:
    return path.lower().endswith((".tif", ".tiff"))


def _content(path: str) -> bytes:
    """The content of a file, or of a member of a local shard."""
    if stores.protocol_of(path) is not None:
        return stores.read(path)
    for parent in Path(path).parents:
        if listing.is_shard(str(parent)) and parent.is_file():
            member = str(Path(path).relative_to(parent))
            if parent.suffix.lower() == ".zip":
                with zipfile.ZipFile(parent) as archive:
                    return archive.read(member)
            with tarfile.open(parent) as tar:
                extracted = tar.extractfile(member)
                return b"" if extracted is None else extracted.read()
    return listing.local_file(path).read()


def _never(_url: str) -> bytes:
    raise UnreadableFileError("the file is a URL")
