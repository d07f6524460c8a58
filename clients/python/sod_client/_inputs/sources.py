"""Splits the input of `predict` into images, and reads no more of it than is requested.

An element that is not an image becomes a `BrokenItem`, so that the elements after it can still be processed.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union
from urllib.parse import urlsplit

from PIL import Image

from sod_client._inputs.arrays import to_bgr
from sod_client._inputs.items import (
    ArrayItem,
    BrokenItem,
    BytesItem,
    Fetch,
    FileItem,
    FrameItem,
    Item,
    PageItem,
    StretchedItem,
    URLItem,
)
from sod_client._inputs.pdf import page_count
from sod_client.errors import InvalidInputError, MissingFileError, NoImagesError, SodError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ImageInput = Union[str, os.PathLike[str], bytes, "NDArray[np.uint8]"]
"""A path of an image, PDF or folder, an http(s) URL, an encoded image, or an array uint8 [H, W, 3] in BGR order."""

TIFF_SUFFIXES = frozenset((".tif", ".tiff"))
PDF_SUFFIX = ".pdf"
# The files of a folder that are read; the same list as PaddleX's.
IMAGE_SUFFIXES = TIFF_SUFFIXES | {
    ".bmp", ".dib", ".jpeg", ".jpg", ".pbm", ".pdf", ".pgm", ".png", ".pnm", ".ppm", ".ras", ".sr", ".webp"
}  # fmt: skip


def is_single(inputs: object) -> bool:
    """Whether the input is one element rather than an iterable of elements."""
    return isinstance(inputs, str | os.PathLike | bytes | bytearray | memoryview) or is_array(inputs)


def is_array(element: object) -> bool:
    """Whether the element is a numpy array. numpy is not imported: a caller who has an array has imported it."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(element, numpy.ndarray)


def is_url(text: str) -> bool:
    """Whether the text begins with http:// or https://."""
    return text.lower().startswith(("http://", "https://"))


def items_of_all(
    inputs: ImageInput | Iterable[ImageInput], fetch: Fetch, *, fetch_all: bool, stretch: bool = False
) -> Iterator[Item]:
    """The images of an input, in order. The arguments are those of `items_of`.

    Raises:
        InvalidInputError: the input is neither an element nor an iterable of elements.
    """
    elements: Iterable[Any]
    if is_single(inputs):
        elements = (inputs,)
    elif isinstance(inputs, Iterable) and not isinstance(inputs, Mapping):
        elements = inputs
    else:
        raise InvalidInputError(f"an image is a path, a URL, bytes or an array, not {type(inputs).__name__}")
    for index, element in enumerate(elements):
        yield from items_of(element, index, fetch, fetch_all=fetch_all, stretch=stretch)


def items_of(element: Any, index: int, fetch: Fetch, *, fetch_all: bool, stretch: bool = False) -> Iterator[Item]:
    """The images of one element of the input.

    Args:
        element: an `ImageInput`; anything else gives a `BrokenItem`.
        index: position of the element in the input, from 0.
        fetch: downloads PDFs and TIFFs, whose pages are separated here.
        fetch_all: whether `fetch` downloads all images, because the server cannot.
        stretch: whether samples of more than 8 bits are scaled; see `_inputs.stretch`.
    """
    for item in _items_of(element, index, fetch, fetch_all=fetch_all or stretch, stretch=stretch):
        if stretch and isinstance(item, FileItem | BytesItem | FrameItem | URLItem):
            yield StretchedItem(item.input_path, item.page_index, item.index, item)
        else:
            yield item


def _items_of(element: Any, index: int, fetch: Fetch, *, fetch_all: bool, stretch: bool) -> Iterator[Item]:
    try:
        if is_array(element):
            yield _array_item(element, index, stretch=stretch)
        elif isinstance(element, bytes | bytearray | memoryview):
            yield BytesItem(content=bytes(element), index=index)
        elif isinstance(element, str | os.PathLike):
            path = os.fspath(element)
            if is_url(path):
                yield from _items_of_url(path, index, fetch, fetch_all=fetch_all)
            else:
                yield from _items_of_path(path, index)
        else:
            raise InvalidInputError(f"an image is a path, a URL, bytes or an array, not {type(element).__name__}")
    except SodError as error:
        failed_path = os.fspath(element) if isinstance(element, str | os.PathLike) else None
        yield BrokenItem(failed_path, index=index, error=error)


def images_in_folder(folder: str) -> list[str]:
    """The images and PDFs in a folder and its subfolders, by their suffixes; sorted."""
    return sorted(
        os.path.join(parent, name)  # noqa: PTH118 - keeps the caller's "./", as PaddleX does
        for parent, _, names in os.walk(folder)
        for name in names
        if _suffix(name) in IMAGE_SUFFIXES
    )


def _array_item(array: Any, index: int, *, stretch: bool) -> ArrayItem:
    pixels = to_bgr(array, stretch=stretch)
    return ArrayItem(bgr=pixels.tobytes(), width=pixels.shape[1], height=pixels.shape[0], index=index)


def _items_of_path(path: str, index: int) -> Iterator[Item]:
    try:
        is_folder = Path(path).is_dir()
    except ValueError as error:  # the name contains a NUL character
        raise MissingFileError(f"no such file or folder: {error}") from error
    if not is_folder:
        yield from _items_of_file(path, index)
        return
    files = images_in_folder(path)
    if not files:
        raise NoImagesError("this folder and its subfolders contain no image and no PDF")
    for file in files:
        try:
            yield from _items_of_file(file, index)
        except SodError as error:
            yield BrokenItem(file, index=index, error=error)


def _items_of_file(path: str, index: int) -> Iterator[Item]:
    source = Path(path)
    if _suffix(path) in (PDF_SUFFIX, *TIFF_SUFFIXES) and not source.is_file():
        raise MissingFileError("no such file or folder")
    if _suffix(path) == PDF_SUFFIX:
        yield from _pages(path, index, source)
    elif _suffix(path) in TIFF_SUFFIXES:
        yield from _frames(path, index, source)
    else:
        yield FileItem(path, index=index, path=source)


def _items_of_url(url: str, index: int, fetch: Fetch, *, fetch_all: bool) -> Iterator[Item]:
    suffix = _suffix(urlsplit(url).path)
    if suffix == PDF_SUFFIX:
        yield from _pages(url, index, fetch(url))
    elif suffix in TIFF_SUFFIXES:
        yield from _frames(url, index, fetch(url))
    else:
        yield URLItem(url, index=index, url=url, fetch=fetch if fetch_all else None)


def _pages(input_path: str, index: int, source: Path | bytes) -> Iterator[Item]:
    for page in range(page_count(source)):
        yield PageItem(input_path, page, index, source)


def _frames(input_path: str, index: int, source: Path | bytes) -> Iterator[Item]:
    """The frames of a TIFF; a TIFF with a single frame is sent unchanged."""
    count = _frame_count(source)
    if count > 1:
        yield from (FrameItem(input_path, frame, index, source) for frame in range(count))
    elif isinstance(source, bytes):
        yield BytesItem(input_path, 0, index, source)
    else:
        yield FileItem(input_path, 0, index, source)


def _frame_count(source: Path | bytes) -> int:
    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as image:
            return getattr(image, "n_frames", 1)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return 1  # the error is reported when the file is read


def _suffix(path: str) -> str:
    return Path(path).suffix.lower()
