"""The images of an input, each of which is read only when it is sent."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from sod_client._inputs.pdf import render_page
from sod_client._inputs.pixels import decode_image, decoded_size, to_png, to_sendable, warn_if_dark
from sod_client._inputs.stretch import Stretch, stretch_encoded
from sod_client.errors import MissingFileError, SodError, UnreadableFileError

Fetch = Callable[[str], bytes]


@dataclass(frozen=True)
class Item:
    """One image of the input.

    Attributes:
        input_path: path or URL as passed, or the path of a file in a folder that was passed; None for arrays and
            bytes.
        page_index: page of a PDF or frame of a TIFF, from 0; None otherwise.
        index: position in the input, from 0. Errors name an image without a path by it.
        subfolder: where the image is in the folder, or below the fixed part of the pattern, that was passed.
    """

    input_path: str | None = None
    page_index: int | None = None
    index: int = 0
    subfolder: str = field(default="", kw_only=True)

    @property
    def name(self) -> str:
        """The image's name in messages."""
        return f"input[{self.index}]" if self.input_path is None else self.input_path

    @property
    def is_light(self) -> bool:
        """Whether the item names a file rather than holding the image."""
        return False

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

    def size(self) -> tuple[int, int]:
        """Width and height of the image as it is shown, in pixels.

        Raises:
            SodError: the image cannot be read.
        """
        return self.decoded().size


@dataclass(frozen=True)
class FileItem(Item):
    """An image in a file."""

    path: Path = Path()

    @property
    def is_light(self) -> bool:
        """Yes."""
        return True

    def encoded(self) -> bytes:
        """The file's content, or a PNG of it if the server does not read its format."""
        content = to_sendable(read_file(self.path))
        warn_if_dark(self.name, content)
        return content

    def decoded(self) -> Image.Image:
        """The image."""
        return decode_image(to_sendable(read_file(self.path)))

    def size(self) -> tuple[int, int]:
        """Width and height, from the header."""
        return decoded_size(to_sendable(read_file(self.path)))


@dataclass(frozen=True)
class BytesItem(Item):
    """An encoded image."""

    content: bytes = b""

    def encoded(self) -> bytes:
        """The bytes, or a PNG of them if the server does not read their format."""
        if not self.content:
            raise UnreadableFileError("the image has no bytes")
        content = to_sendable(self.content)
        warn_if_dark(self.name, content)
        return content

    def decoded(self) -> Image.Image:
        """The image."""
        return decode_image(to_sendable(self.content))


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

    @property
    def is_light(self) -> bool:
        """Whether the document is a file."""
        return isinstance(self.source, Path)

    def encoded(self) -> bytes:
        """The page as PNG."""
        return to_png(self.decoded())

    def decoded(self) -> Image.Image:
        """The page, rendered at the same scale as PaddleX does."""
        return render_page(self.source, self.page_index or 0)


@dataclass(frozen=True)
class FrameItem(Item):
    """One page of a TIFF that has several.

    Attributes:
        source: the TIFF.
        directory: the page's position among the directories, some of which may be overviews; from 0.
    """

    source: Path | bytes = b""
    directory: int = 0

    @property
    def is_light(self) -> bool:
        """Whether the document is a file."""
        return isinstance(self.source, Path)

    def encoded(self) -> bytes:
        """The frame as PNG."""
        warn_if_dark(f"{self.name} (page {self.page_index})", self.content(), self.directory)
        return to_png(self.decoded())

    def decoded(self) -> Image.Image:
        """The frame."""
        return decode_image(self.content(), self.directory)

    def content(self) -> bytes:
        """The whole TIFF."""
        return self.source if isinstance(self.source, bytes) else read_file(self.source)


@dataclass(frozen=True)
class StretchedItem(Item):
    """An image whose samples are scaled to 8 bits; see `stretch`."""

    source: "FileItem | BytesItem | FrameItem | URLItem | None" = None
    stretch: Stretch = "percentile"

    def encoded(self) -> bytes:
        """The scaled image as PNG, or an image of 8 bits as it is."""
        match self.source:
            case FileItem(path=path):
                return stretch_encoded(read_file(path), stretch=self.stretch)
            case BytesItem(content=content):
                return stretch_encoded(content, stretch=self.stretch)
            case FrameItem() as frame:
                return stretch_encoded(frame.content(), frame.directory, stretch=self.stretch)
            case URLItem() as image:
                return stretch_encoded(image.encoded(), stretch=self.stretch)
        raise UnreadableFileError("there is no image to stretch")


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
