"""From what a caller passes to single images, no faster than they are asked for.

An entry that gives no image becomes a `BrokenItem`, so that the entries after it can still be had.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union
from urllib.parse import urlsplit

from PIL import Image

from sod_client._inputs import pdf as _pdf
from sod_client._inputs.items import (
    ArrayItem,
    BrokenItem,
    BytesItem,
    Fetch,
    FileItem,
    FrameItem,
    Item,
    PageItem,
    URLItem,
)
from sod_client.errors import InvalidArrayError, InvalidInputError, MissingFileError, NoImagesError, SodError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ImageInput = Union[str, os.PathLike[str], bytes, "NDArray[np.uint8]"]
"""A path of an image, PDF or folder, an http(s) URL, an encoded image, or an array uint8 [H, W, 3], BGR."""

TIFF_SUFFIXES = frozenset((".tif", ".tiff"))
PDF_SUFFIX = ".pdf"
# What is taken of a folder; PaddleX's list.
IMAGE_SUFFIXES = TIFF_SUFFIXES | {
    ".bmp", ".dib", ".jpeg", ".jpg", ".pbm", ".pdf", ".pgm", ".png", ".pnm", ".ppm", ".ras", ".sr", ".webp"
}  # fmt: skip


def is_single(given: object) -> bool:
    """Whether it is one entry, and no iterable of entries."""
    return isinstance(given, str | os.PathLike | bytes | bytearray | memoryview) or is_array(given)


def is_array(given: object) -> bool:
    """Whether it is a numpy array; who has one has imported numpy."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(given, numpy.ndarray)


def entries(given: ImageInput | Iterable[ImageInput]) -> Iterator[Any]:
    """The entries of an input, which is one itself or an iterable of them.

    Raises:
        InvalidInputError: it is neither.
    """
    if is_single(given):
        yield given
    elif isinstance(given, Iterable) and not isinstance(given, Mapping):
        yield from given
    else:
        raise InvalidInputError(f"an image is a path, a URL, bytes or an array, not {type(given).__name__}")


def items(given: ImageInput | Iterable[ImageInput], fetch: Fetch, *, fetch_all: bool) -> Iterator[Item]:
    """The images of an input, in order."""
    for number, entry in enumerate(entries(given)):
        yield from expand(entry, number, fetch, fetch_all=fetch_all)


def expand(entry: Any, number: int, fetch: Fetch, *, fetch_all: bool) -> Iterator[Item]:
    """The images of one entry.

    Args:
        entry: as `ImageInput`; anything else is a `BrokenItem`.
        number: the entry's in the input.
        fetch: gets what is at a URL, for PDFs and TIFFs, whose pages are told apart here.
        fetch_all: whether it gets every image, because the server cannot.
    """
    try:
        if is_array(entry):
            yield _array_item(entry, number)
        elif isinstance(entry, bytes | bytearray | memoryview):
            yield BytesItem(content=bytes(entry), entry=number)
        elif isinstance(entry, str | os.PathLike):
            path = os.fspath(entry)
            if is_url(path):
                yield from _at_url(path, number, fetch if fetch_all else None, fetch)
            else:
                yield from _at_path(path, number)
        else:
            raise InvalidInputError(f"an image is a path, a URL, bytes or an array, not {type(entry).__name__}")
    except SodError as error:
        path = os.fspath(entry) if isinstance(entry, str | os.PathLike) else None
        yield BrokenItem(path, entry=number, error=error)


def is_url(text: str) -> bool:
    """Whether it begins with http:// or https://."""
    return text.lower().startswith(("http://", "https://"))


def _array_item(array: Any, number: int) -> ArrayItem:
    if array.dtype != "uint8" or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        shape = ", ".join(map(str, array.shape))
        hint = "; give several images as a list" if array.ndim == 4 else ""
        raise InvalidArrayError(f"an image's array is uint8 [H, W, 3], BGR, not {array.dtype} [{shape}]{hint}")
    return ArrayItem(bgr=array.tobytes(), width=array.shape[1], height=array.shape[0], entry=number)


def _at_path(path: str, number: int) -> Iterator[Item]:
    try:
        is_folder = Path(path).is_dir()
    except ValueError as error:  # a NUL in the name
        raise MissingFileError(f"no such file or folder: {error}") from error
    if not is_folder:
        yield from _in_file(path, number)
        return
    files = images_below(path)
    if not files:
        raise NoImagesError("no image and no PDF in this folder or below it")
    for file in files:
        try:
            yield from _in_file(file, number)
        except SodError as error:
            yield BrokenItem(file, entry=number, error=error)


def images_below(folder: str) -> list[str]:
    """The files of a folder, and of all below it, that are images or PDFs by their ending; sorted."""
    return sorted(
        os.path.join(parent, name)  # noqa: PTH118 - keeps a "./" that the caller wrote, as PaddleX does
        for parent, _, names in os.walk(folder)
        for name in names
        if _suffix(name) in IMAGE_SUFFIXES
    )


def _in_file(path: str, number: int) -> Iterator[Item]:
    source = Path(path)
    if _suffix(path) in (PDF_SUFFIX, *TIFF_SUFFIXES) and not source.is_file():
        raise MissingFileError("no such file or folder")
    if _suffix(path) == PDF_SUFFIX:
        yield from (PageItem(path, index, number, source) for index in range(_pdf.page_count(source)))
    elif _suffix(path) in TIFF_SUFFIXES:
        yield from _frames(path, number, source)
    else:
        yield FileItem(path, entry=number, path=source)


def _at_url(url: str, number: int, of_image: Fetch | None, fetch: Fetch) -> Iterator[Item]:
    suffix = _suffix(urlsplit(url).path)
    if suffix == PDF_SUFFIX:
        content = fetch(url)
        yield from (PageItem(url, index, number, content) for index in range(_pdf.page_count(content)))
    elif suffix in TIFF_SUFFIXES:
        yield from _frames(url, number, fetch(url))
    else:
        yield URLItem(url, entry=number, url=url, fetch=of_image)


def _frames(input_path: str, number: int, source: Path | bytes) -> Iterator[Item]:
    """The frames of a TIFF; the only one of a TIFF that has one is sent as it is."""
    count = _frame_count(source)
    if count > 1:
        yield from (FrameItem(input_path, index, number, source) for index in range(count))
    elif isinstance(source, bytes):
        yield BytesItem(input_path, 0, number, source)
    else:
        yield FileItem(input_path, 0, number, source)


def _frame_count(source: Path | bytes) -> int:
    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as image:
            return getattr(image, "n_frames", 1)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return 1  # what it is, and whether it is there, comes out when it is read


def _suffix(path: str) -> str:
    return Path(path).suffix.lower()
