"""Splits the input of `predict` into images, and reads no more of it than is requested.

An element that is not an image becomes a `BrokenItem`, so that the elements after it can still be processed.
"""

import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Union
from urllib.parse import urlsplit

from PIL import Image

from sod_client._inputs import paths
from sod_client._inputs.arrays import to_bgr
from sod_client._inputs.headers import tiff_pages
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
from sod_client._inputs.pixels import to_rgb
from sod_client._inputs.scenes import SceneOptions, as_scene
from sod_client._inputs.stretch import Stretch
from sod_client._optional import require
from sod_client.errors import InvalidInputError, MissingFileError, NoImagesError, SodError, UnreadableFileError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class SupportsRead(Protocol):
    """A file opened in binary mode, or `io.BytesIO`."""

    def read(self) -> bytes:
        """The bytes from the current position to the end."""
        ...


ImageInput = Union[str, os.PathLike[str], bytes, SupportsRead, Image.Image, "NDArray[Any]"]
"""A path of an image, PDF or folder, a pattern such as `photos/*.jpg`, an http(s) URL, the bytes of an encoded image or
PDF, a file opened in binary mode, an image of Pillow, or an array: [H, W, 3] BGR, [H, W, 4] BGRA or [H, W] grey."""

_SINGLE = (str, os.PathLike, bytes, bytearray, memoryview, Image.Image)
KINDS = "a path, a URL, bytes, an open file, an array or an image of Pillow"
_PDF_SIGNATURE = b"%PDF-"
_NOT_SEARCHED = ("__MACOSX", ".ipynb_checkpoints")
_PATTERN = re.compile(r"[*?\[]")
TIFF_SUFFIXES = frozenset((".tif", ".tiff"))
PDF_SUFFIX = ".pdf"
# The files of a folder that are read: PaddleX's list, and the formats of the second line.
IMAGE_SUFFIXES = TIFF_SUFFIXES | {
    ".bmp", ".dib", ".jpeg", ".jpg", ".pbm", ".pdf", ".pgm", ".png", ".pnm", ".ppm", ".ras", ".sr", ".webp",
    ".avif", ".gif", ".heic", ".heif", ".j2k", ".jp2"
}  # fmt: skip


def is_single(inputs: object) -> bool:
    """Whether the input is one element rather than an iterable of elements."""
    return isinstance(inputs, _SINGLE) or is_array(inputs) or is_file(inputs)


def is_file(element: object) -> bool:
    """Whether the element is an open file or the like."""
    return callable(getattr(element, "read", None))


def is_array(element: object) -> bool:
    """Whether the element is a numpy array. numpy is not imported: a caller who has an array has imported it."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(element, numpy.ndarray)


def is_url(text: str) -> bool:
    """Whether the text begins with http:// or https://."""
    return text.lower().startswith(("http://", "https://"))


def is_pattern(path: str) -> bool:
    """Whether the text is a pattern such as `photos/*.jpg`; a file of this very name takes precedence."""
    return not is_url(path) and _PATTERN.search(path) is not None and not paths.exists(path)


def items_of_all(
    inputs: ImageInput | Iterable[ImageInput],
    fetch: Fetch,
    *,
    fetch_all: bool,
    stretch: Stretch = "none",
    scenes: SceneOptions | None = None,
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
        raise InvalidInputError(f"an image is {KINDS}, not {type(inputs).__name__}")
    for index, element in enumerate(elements):
        yield from items_of(element, index, fetch, fetch_all=fetch_all, stretch=stretch, scenes=scenes)


def items_of(  # noqa: PLR0913 - how images are read, by name
    element: Any,
    index: int,
    fetch: Fetch,
    *,
    fetch_all: bool,
    stretch: Stretch = "none",
    scenes: SceneOptions | None = None,
) -> Iterator[Item]:
    """The images of one element of the input.

    Args:
        element: an `ImageInput`; anything else gives a `BrokenItem`.
        index: position of the element in the input, from 0.
        fetch: downloads PDFs and TIFFs, whose pages are separated here.
        fetch_all: whether `fetch` downloads all images, because the server cannot.
        stretch: how samples of more than 8 bits are scaled; see `_inputs.stretch`.
        scenes: how large and georeferenced files are read in windows; None sends them whole.
    """
    is_scaled = stretch != "none"
    for original in _items_of(element, index, fetch, fetch_all=fetch_all or is_scaled, stretch=stretch):
        item = original if scenes is None else _as_scene(original, scenes)
        if is_scaled and isinstance(item, FileItem | BytesItem | FrameItem | URLItem):
            yield StretchedItem(item.input_path, item.page_index, item.index, item, stretch, subfolder=item.subfolder)
        else:
            yield item


def _items_of(element: Any, index: int, fetch: Fetch, *, fetch_all: bool, stretch: Stretch) -> Iterator[Item]:
    try:
        if is_array(element):
            yield _array_item(element, index, stretch=stretch)
        elif isinstance(element, bytes | bytearray | memoryview):
            yield from _items_of_content(None, index, bytes(element))
        elif isinstance(element, Image.Image):
            yield _pillow_item(element, index, stretch=stretch)
        elif is_file(element):
            yield from _items_of_file_object(element, index)
        elif isinstance(element, str | os.PathLike):
            path = os.fspath(element)
            if is_url(path):
                yield from _items_of_url(path, index, fetch, fetch_all=fetch_all)
            else:
                yield from _items_of_path(path, index)
        else:
            raise InvalidInputError(f"an image is {KINDS}, not {type(element).__name__}")
    except SodError as error:
        failed_path = os.fspath(element) if isinstance(element, str | os.PathLike) else None
        yield BrokenItem(failed_path, index=index, error=error)


def _as_scene(item: Item, scenes: SceneOptions) -> Item:
    try:
        return as_scene(item, scenes)
    except SodError as error:
        return BrokenItem(item.input_path, item.page_index, item.index, error)


def images_in_folder(folder: str) -> list[str]:
    """The images and PDFs in a folder and its subfolders, by their suffixes; sorted."""
    return _walk(folder)[0]


def _walk(folder: str) -> tuple[list[str], list[OSError]]:
    """The images in a folder, and the errors of subfolders that cannot be read.

    Links to folders are followed, each folder once. What macOS and Jupyter add is left out.
    """
    found: list[str] = []
    errors: list[OSError] = []
    seen: set[tuple[int, int]] = set()
    for parent, subfolders, names in os.walk(folder, onerror=errors.append, followlinks=True):
        status = os.stat(parent)  # noqa: PTH116 - keeps the caller's "./", as PaddleX does
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders[:] = [name for name in subfolders if name not in _NOT_SEARCHED]
        # Folders before links to them, whose names are less telling.
        subfolders.sort(key=lambda name: (os.path.islink(os.path.join(parent, name)), name))  # noqa: PTH114, PTH118
        found += [
            os.path.join(parent, name)  # noqa: PTH118
            for name in names
            if _suffix(name) in IMAGE_SUFFIXES
            and not name.startswith("._")
            and not paths.may_block(os.path.join(parent, name))  # noqa: PTH118
        ]
    return sorted(found), errors


def _array_item(array: Any, index: int, *, stretch: Stretch) -> ArrayItem:
    pixels = to_bgr(array, stretch=stretch)
    return ArrayItem(bgr=pixels.tobytes(), width=pixels.shape[1], height=pixels.shape[0], index=index)


def _pillow_item(image: Image.Image, index: int, *, stretch: Stretch) -> ArrayItem:
    """The pixels as they are, because the caller counts in them: an EXIF orientation is not applied."""
    if stretch != "none" and (image.mode in ("I", "F") or image.mode.startswith("I;16")):
        numpy = require("numpy", "stretch", "opencv-python-headless")
        return _array_item(numpy.array(image), index, stretch=stretch)
    try:
        bgr = to_rgb(image).tobytes("raw", "BGR")
    except (OSError, ValueError, SyntaxError) as error:
        raise UnreadableFileError(f"the image cannot be decoded: {error}") from error
    return ArrayItem(bgr=bgr, width=image.width, height=image.height, index=index)


def _items_of_file_object(file: Any, index: int) -> Iterator[Item]:
    try:
        content = file.read()
    except (OSError, ValueError) as error:  # ValueError: the file is closed
        raise UnreadableFileError(f"the open file cannot be read: {error}") from error
    if not isinstance(content, bytes | bytearray | memoryview):
        raise InvalidInputError(f"an open file must give bytes, not {type(content).__name__}: open it in mode 'rb'")
    if not content:
        raise UnreadableFileError("the open file has no bytes after its position: call seek(0) before")
    name = getattr(file, "name", None)
    yield from _items_of_content(name if isinstance(name, str) else None, index, bytes(content))


def _items_of_content(path: str | None, index: int, content: bytes) -> Iterator[Item]:
    if content.startswith(_PDF_SIGNATURE):
        yield from _pages(path, index, content)
    elif path is not None and _suffix(path) in TIFF_SUFFIXES:
        yield from _frames(path, index, content)
    else:
        yield BytesItem(path, index=index, content=content)


def _items_of_path(path: str, index: int) -> Iterator[Item]:
    is_folder = paths.is_folder(path)
    if not is_folder and is_pattern(path):
        yield from _items_of_pattern(path, index)
        return
    if not is_folder:
        paths.check_exists(path)
        yield from _items_of_file(path, index)
        return
    files, errors = _walk(path)
    for failure in errors:
        unreadable = UnreadableFileError(f"this folder cannot be read: {failure.strerror}")
        yield BrokenItem(str(failure.filename), index=index, error=unreadable)
    if not files and not errors:
        raise NoImagesError("this folder and its subfolders contain no image and no PDF")
    yield from _items_below(path, files, index)


def _items_of_pattern(pattern: str, index: int) -> Iterator[Item]:
    files = sorted(path for path in glob.glob(pattern, recursive=True) if paths.is_file(path))  # noqa: PTH207
    if not files:
        raise MissingFileError("no file matches this pattern")
    match = _PATTERN.search(pattern)
    fixed = pattern[: match.start()] if match else pattern
    yield from _items_below(os.path.dirname(fixed) or ".", files, index)  # noqa: PTH120


def _items_below(folder: str, files: Iterable[str], index: int) -> Iterator[Item]:
    for file in files:
        subfolder = os.path.relpath(os.path.dirname(file) or ".", folder)  # noqa: PTH120
        try:
            for item in _items_of_file(file, index):
                yield replace(item, subfolder="" if subfolder == "." else subfolder)
        except SodError as error:
            yield BrokenItem(file, index=index, error=error)


def _items_of_file(path: str, index: int) -> Iterator[Item]:
    source = Path(path)
    if _suffix(path) in (PDF_SUFFIX, *TIFF_SUFFIXES):
        paths.check_exists(path)
    if _suffix(path) == PDF_SUFFIX:
        yield from _pages(path, index, source)
    elif _suffix(path) in TIFF_SUFFIXES:
        yield from _frames(path, index, source)
    else:
        yield FileItem(path, index=index, path=source)


def _items_of_url(url: str, index: int, fetch: Fetch, *, fetch_all: bool) -> Iterator[Item]:
    try:
        suffix = _suffix(urlsplit(url).path)
    except ValueError as error:
        raise UnreadableFileError(f"this is not a URL: {error}") from error
    if suffix == PDF_SUFFIX:
        yield from _pages(url, index, fetch(url))
    elif suffix in TIFF_SUFFIXES:
        yield from _frames(url, index, fetch(url))
    else:
        yield URLItem(url, index=index, url=url, fetch=fetch if fetch_all else None)


def _pages(input_path: str | None, index: int, source: Path | bytes) -> Iterator[Item]:
    for page in range(page_count(source)):
        yield PageItem(input_path, page, index, source)


def _frames(input_path: str | None, index: int, source: Path | bytes) -> Iterator[Item]:
    """The pages of a TIFF, which are not its overviews and masks; a TIFF with a single page is sent unchanged."""
    directories = _directories(source)
    if len(directories) > 1:
        yield from (FrameItem(input_path, page, index, source, directory) for page, directory in enumerate(directories))
    elif isinstance(source, bytes):
        yield BytesItem(input_path, 0, index, source)
    else:
        yield FileItem(input_path, 0, index, source)


def _directories(source: Path | bytes) -> list[int]:
    """The directories of a TIFF that are pages; an error is reported when the file is read."""
    try:
        with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            return [page.directory for page in tiff_pages(file)]
    except OSError:
        return []


def _suffix(path: str) -> str:
    return Path(path).suffix.lower()
