"""Reads the size of an image and the pages of a TIFF from their headers, however large the image is."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image

_FORMATS = ("JPEG", "PNG", "JPEG2000", "BMP", "WEBP")
_TIFF_SIGNATURES = {b"II*\0": "<", b"MM\0*": ">", b"II+\0": "<", b"MM\0+": ">"}
_BIG = b"+"
_SUBFILE, _WIDTH, _HEIGHT = 254, 256, 257
_REDUCED, _MASK = 1, 4  # bits of the sub-file type: an overview, a mask
# ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeyDirectory, RPCCoefficient
_GEO_TAGS = frozenset((33550, 33922, 34264, 34735, 50844))
_MAX_PAGES = 65_536
_UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, struct.error, OverflowError)


@dataclass(frozen=True)
class TiffPage:
    """One image of a TIFF that is neither an overview nor a mask of another.

    Attributes:
        directory: its position in the chain of directories, from 0.
        size: width and height in pixels; (0, 0) if they are not given.
        is_georeferenced: whether it has tags of GeoTIFF.
    """

    directory: int
    size: tuple[int, int]
    is_georeferenced: bool


def tiff_pages(file: BinaryIO) -> list[TiffPage]:
    """The pages of a TIFF or BigTIFF, without its overviews and masks; empty if it is no TIFF or damaged."""
    try:
        return _tiff_pages(file)
    except _UNREADABLE:
        return []


def image_size(path: Path) -> tuple[int, int] | None:
    """Width and height in the file, which an EXIF orientation may exchange; None if the header cannot be read."""
    try:
        with path.open("rb") as file:
            return size_in(file)
    except (OSError, ValueError):  # ValueError: a null byte in the path
        return None


def size_in(file: BinaryIO) -> tuple[int, int] | None:
    """The same as `image_size`, of an open file."""
    try:
        if pages := tiff_pages(file):
            return pages[0].size
        file.seek(0)
        prefix = file.read(16)
        Image.init()
        for name in _FORMATS:
            factory, accepts = Image.OPEN[name]
            if accepts is not None and accepts(prefix):
                file.seek(0)
                with factory(file, "") as image:  # unlike Image.open without a limit on pixels
                    return image.size
    except (*_UNREADABLE, KeyError, TypeError):
        pass
    return None


def _tiff_pages(file: BinaryIO) -> list[TiffPage]:
    file.seek(0)
    head = file.read(16)
    order = _TIFF_SIGNATURES.get(head[:4])
    if order is None:
        return []
    is_big = _BIG in head[2:4]
    count_format, entry, offset_format = (f"{order}Q", f"{order}HHQ8s", f"{order}Q") if is_big else (
        f"{order}H", f"{order}HHI4s", f"{order}I"
    )  # fmt: skip
    (offset,) = struct.unpack_from(offset_format, head, 8 if is_big else 4)
    pages: list[TiffPage] = []
    seen: set[int] = set()
    for directory in range(_MAX_PAGES):
        if not offset or offset in seen:
            break
        seen.add(offset)
        file.seek(offset)
        (count,) = struct.unpack(count_format, file.read(struct.calcsize(count_format)))
        if count > 65_536:
            break
        tags = {}
        for tag, kind, _, value in struct.iter_unpack(entry, file.read(count * struct.calcsize(entry))):
            tags[tag] = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", value)[0]
        kind = tags.get(_SUBFILE, 0)
        if not kind & (_REDUCED | _MASK):
            size = (tags.get(_WIDTH, 0), tags.get(_HEIGHT, 0))
            pages.append(TiffPage(directory, size, not _GEO_TAGS.isdisjoint(tags)))
        (offset,) = struct.unpack(offset_format, file.read(struct.calcsize(offset_format)))
    return pages
