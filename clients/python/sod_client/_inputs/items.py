"""What is sent: one image each, read when its turn comes and not before."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from sod_client._inputs import pdf as _pdf
from sod_client.errors import MissingFileError, SodError, UnreadableFileError

Fetch = Callable[[str], bytes]
_ORIENTATION, _QUARTER_TURNS = 0x0112, (5, 6, 7, 8)
# The formats that the server turns by their EXIF orientation; Pillow turns a TIFF by itself, as the server does.
_TURNED = ("JPEG", "MPO", "PNG")
_UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Item:
    """One image of the input.

    Attributes:
        input_path: path or URL as it was given, or the file's below the folder that was; None for arrays and bytes.
        page_index: of a PDF's page or a TIFF's frame, from 0; None otherwise.
        entry: its number in the input, from 0; what an error calls an image without a path.
    """

    input_path: str | None = None
    page_index: int | None = None
    entry: int = 0

    @property
    def name(self) -> str:
        """For messages."""
        return f"input[{self.entry}]" if self.input_path is None else self.input_path

    def encoded(self) -> bytes:
        """The bytes of an encoded image: JPEG, PNG, ….

        Raises:
            SodError: it cannot be read.
        """
        raise NotImplementedError

    def opened(self) -> Image.Image:
        """The image as it is shown, RGB.

        Raises:
            SodError: it cannot be read.
        """
        return open_image(self.encoded())


@dataclass(frozen=True)
class FileItem(Item):
    """A file."""

    path: Path = Path()

    def encoded(self) -> bytes:
        """The file's content."""
        return read_file(self.path)


@dataclass(frozen=True)
class BytesItem(Item):
    """An encoded image."""

    content: bytes = b""

    def encoded(self) -> bytes:
        """The bytes as they came."""
        if not self.content:
            raise UnreadableFileError("the image has no bytes")
        return self.content


@dataclass(frozen=True)
class ArrayItem(Item):
    """An array's pixels, copied when it was given: its owner may write the next frame into it."""

    bgr: bytes = b""
    width: int = 0
    height: int = 0

    def encoded(self) -> bytes:
        """A PNG: the detector sees the very pixels."""
        return to_png(self.opened())

    def opened(self) -> Image.Image:
        """The image."""
        return Image.frombuffer("RGB", (self.width, self.height), self.bgr, "raw", "BGR", 0, 1)


@dataclass(frozen=True)
class PageItem(Item):
    """A page of a PDF."""

    source: Path | bytes = b""

    def encoded(self) -> bytes:
        """The page as PNG."""
        return to_png(self.opened())

    def opened(self) -> Image.Image:
        """The page as PaddleX renders it."""
        return _pdf.render(self.source, self.page_index or 0)


@dataclass(frozen=True)
class FrameItem(Item):
    """A frame of a TIFF of several."""

    source: Path | bytes = b""

    def encoded(self) -> bytes:
        """The frame as PNG."""
        return to_png(self.opened())

    def opened(self) -> Image.Image:
        """The frame."""
        content = self.source if isinstance(self.source, bytes) else read_file(self.source)
        try:
            with Image.open(io.BytesIO(content)) as image:
                image.seek(self.page_index or 0)
                return image.convert("RGB")
        except (*_UNREADABLE, EOFError) as error:
            raise UnreadableFileError(f"the frame cannot be read: {error}") from error


@dataclass(frozen=True)
class URLItem(Item):
    """An image that the server fetches, or `fetch` where it cannot."""

    url: str = ""
    fetch: Fetch | None = None

    def encoded(self) -> bytes:
        """What is at the URL."""
        if self.fetch is None:
            raise UnreadableFileError("only the server has the image")
        return self.fetch(self.url)


@dataclass(frozen=True)
class BrokenItem(Item):
    """An entry of the input that gives no image; its error comes at its turn."""

    error: SodError | None = None

    def encoded(self) -> bytes:
        """Raises the error."""
        raise self.error or UnreadableFileError("there is no image")


def read_file(path: Path) -> bytes:
    """A file's content.

    Raises:
        MissingFileError: there is no such file.
        UnreadableFileError: it cannot be read, or is empty.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise MissingFileError("no such file or folder") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise UnreadableFileError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not content:
        raise UnreadableFileError("the file is empty")
    return content


def open_image(content: bytes) -> Image.Image:
    """An encoded image as it is shown (EXIF orientation applied), RGB.

    Raises:
        UnreadableFileError: Pillow cannot read it.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            turned = ImageOps.exif_transpose(image) if image.format in _TURNED else image
            return turned.convert("RGB")
    except _UNREADABLE as error:
        raise _unreadable(error) from error


def shown_size(content: bytes) -> tuple[int, int]:
    """Width and height of `open_image`, from the header alone; raises as it does."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            quarter_turned = image.format in _TURNED and image.getexif().get(_ORIENTATION) in _QUARTER_TURNS
            return (image.height, image.width) if quarter_turned else (image.width, image.height)
    except _UNREADABLE as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> UnreadableFileError:
    detail = "" if isinstance(error, UnidentifiedImageError) else f": {error}"
    return UnreadableFileError(f"not an image that can be read here{detail}")


def to_png(image: Image.Image) -> bytes:
    """Lossless, and fast before small."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
