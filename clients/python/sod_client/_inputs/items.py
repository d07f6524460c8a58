"""The images of an input, each of which is read only when it is sent."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from sod_client._inputs.exif import QUARTER_TURNS, orientation_of
from sod_client._inputs.pdf import render_page
from sod_client.errors import MissingFileError, SodError, UnreadableFileError

Fetch = Callable[[str], bytes]
# By EXIF orientation. Pillow turns a TIFF by itself.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Item:
    """One image of the input.

    Attributes:
        input_path: path or URL as passed, or the path of a file in a folder that was passed; None for arrays and
            bytes.
        page_index: page of a PDF or frame of a TIFF, from 0; None otherwise.
        index: position in the input, from 0. Errors name an image without a path by it.
    """

    input_path: str | None = None
    page_index: int | None = None
    index: int = 0

    @property
    def name(self) -> str:
        """The image's name in messages."""
        return f"input[{self.index}]" if self.input_path is None else self.input_path

    def encoded(self) -> bytes:
        """The encoded image: JPEG, PNG, ….

        Raises:
            SodError: the image cannot be read.
        """
        raise NotImplementedError

    def decoded(self) -> Image.Image:
        """The image in RGB, with its EXIF orientation applied.

        Raises:
            SodError: the image cannot be read.
        """
        return decode_image(self.encoded())


@dataclass(frozen=True)
class FileItem(Item):
    """An image in a file."""

    path: Path = Path()

    def encoded(self) -> bytes:
        """The file's content."""
        return read_file(self.path)


@dataclass(frozen=True)
class BytesItem(Item):
    """An encoded image."""

    content: bytes = b""

    def encoded(self) -> bytes:
        """The bytes unchanged."""
        if not self.content:
            raise UnreadableFileError("the image has no bytes")
        return self.content


@dataclass(frozen=True)
class ArrayItem(Item):
    """The pixels of an array, copied at once because the caller may write the next frame into the array."""

    bgr: bytes = b""
    width: int = 0
    height: int = 0

    def encoded(self) -> bytes:
        """The image as PNG, which loses nothing."""
        return to_png(self.decoded())

    def decoded(self) -> Image.Image:
        """The image."""
        return Image.frombuffer("RGB", (self.width, self.height), self.bgr, "raw", "BGR", 0, 1)


@dataclass(frozen=True)
class PageItem(Item):
    """A page of a PDF."""

    source: Path | bytes = b""

    def encoded(self) -> bytes:
        """The page as PNG."""
        return to_png(self.decoded())

    def decoded(self) -> Image.Image:
        """The page, rendered at the same scale as PaddleX does."""
        return render_page(self.source, self.page_index or 0)


@dataclass(frozen=True)
class FrameItem(Item):
    """One frame of a TIFF that has several."""

    source: Path | bytes = b""

    def encoded(self) -> bytes:
        """The frame as PNG."""
        return to_png(self.decoded())

    def decoded(self) -> Image.Image:
        """The frame."""
        content = self.source if isinstance(self.source, bytes) else read_file(self.source)
        try:
            with Image.open(io.BytesIO(content)) as image:
                image.seek(self.page_index or 0)
                image.info.pop("xmp", None)  # Pillow would turn the frame by it, which the server does not
                return image.convert("RGB")
        except (*_UNREADABLE, EOFError) as error:
            raise UnreadableFileError(f"the frame cannot be read: {error}") from error


@dataclass(frozen=True)
class URLItem(Item):
    """An image at a URL, which the server fetches; if the server cannot, `fetch` does."""

    url: str = ""
    fetch: Fetch | None = None

    def encoded(self) -> bytes:
        """The content of the URL."""
        if self.fetch is None:
            raise UnreadableFileError("the server fetched the image, so it is not available here")
        return self.fetch(self.url)


@dataclass(frozen=True)
class BrokenItem(Item):
    """An element of the input that is not an image. Its error is raised when its result is requested."""

    error: SodError | None = None

    def encoded(self) -> bytes:
        """Raise the error."""
        raise self.error or UnreadableFileError("the input is not an image")


def read_file(path: Path) -> bytes:
    """Read a file.

    Raises:
        MissingFileError: the file does not exist.
        UnreadableFileError: the file cannot be read, or is empty.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise MissingFileError("no such file or folder") from error
    except (OSError, ValueError) as error:  # ValueError: the name contains a NUL character
        raise UnreadableFileError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not content:
        raise UnreadableFileError("the file is empty")
    return content


def decode_image(content: bytes) -> Image.Image:
    """Decode an image to RGB and apply its EXIF orientation, as the server does.

    Raises:
        UnreadableFileError: Pillow cannot decode it.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.info.pop("xmp", None)  # Pillow would turn a TIFF by it, which the server does not
            turn = _TURNS.get(orientation_of(content))
            decoded = image.convert("RGB")
            return decoded if turn is None else decoded.transpose(turn)
    except _UNREADABLE as error:
        raise _unreadable(error) from error


def decoded_size(content: bytes) -> tuple[int, int]:
    """Width and height of `decode_image`, read from the header alone.

    Raises:
        UnreadableFileError: Pillow cannot read the header.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            is_turned = orientation_of(content) in QUARTER_TURNS
            return (image.height, image.width) if is_turned else (image.width, image.height)
    except _UNREADABLE as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> UnreadableFileError:
    detail = "" if isinstance(error, UnidentifiedImageError) else f": {error}"
    return UnreadableFileError(f"the image cannot be decoded{detail}")


def to_png(image: Image.Image) -> bytes:
    """Encode an image as PNG, with the fastest compression."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
