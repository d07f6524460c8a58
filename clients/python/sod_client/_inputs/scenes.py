"""Images that are read in windows, because the server does not take them whole or because they are on a map."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from sod_client._inputs.headers import TiffPage, image_size, tiff_pages
from sod_client._inputs.items import FileItem, FrameItem, Item
from sod_client._inputs.paths import is_file
from sod_client._inputs.stretch import Stretch
from sod_client._slices import SliceOptions
from sod_client.errors import DependencyError, InvalidConfigError, UnreadableFileError

if TYPE_CHECKING:
    from sod_client._inputs.rasters.raster import Raster

MAX_PIXELS = 2**26
"""The server's default limit on the pixels of an image (`sod.image.DEFAULT_LIMITS`)."""
MAX_BYTES = 48 * 2**20
"""The server's default limit on the bytes of an image (SOD_MAX_IMAGE_BYTES)."""
MAX_SENT_BYTES = 2**28
"""Larger files are not sent even to a server with other limits; the client would hold them in memory several times."""
OVERVIEW_SIDE = 4096
"""The longest side of the image that a scene is drawn on."""

_JPEG_2000 = (".jp2", ".j2k", ".j2c", ".jpx")
_GEO_JP2 = bytes.fromhex("b14bf8bd083d4b43a5ae8cd7d5a6ce03")  # the UUID of the box with a GeoTIFF
_HEAD_BYTES = 4096
_INSTALL = "in a checkout of triton-sod `pip install './clients/python[geo]'`, or else `pip install rasterio`"


@dataclass(frozen=True)
class SceneOptions:
    """What a call of `predict` says about images that are read in windows.

    Attributes:
        slices: how they are cut; `slices.infer` is not False.
        bands: numbers of the bands to read, from 1; None chooses.
        stretch: the range of values that becomes 0 to 255.
        journal: the folder of the journals of what was detected; None writes none.
        resume: whether to go on with a journal.
        on_slice: called with the slices that are done and their number, when a scene begins and after each slice.
        stop: set when nobody waits for the results any more.
    """

    slices: SliceOptions
    bands: tuple[int, ...] | None = None
    stretch: Stretch = "none"
    journal: Path | None = None
    resume: bool = False
    on_slice: Callable[[int, int], object] | None = None
    stop: threading.Event = field(default_factory=threading.Event, compare=False)


@dataclass(frozen=True)
class SceneItem(Item):
    """An image in a file that is read in windows.

    Attributes:
        path: the file.
        directory: which directory of a TIFF with several pages, from 0; None is the only one.
        options: of the call.
    """

    path: Path = Path()
    directory: int | None = None
    options: SceneOptions = field(default_factory=lambda: SceneOptions(SliceOptions(True)))

    @property
    def is_light(self) -> bool:
        """Yes."""
        return True

    def open(self) -> "Raster":
        """The file, open for reading.

        Raises:
            SodError: it cannot be read.
        """
        raster: Raster = _raster_module().Raster(self.path, self.directory, self.options.bands, self.options.stretch)
        return raster

    def encoded(self) -> bytes:
        """Never: the image is not sent whole."""
        raise UnreadableFileError("the image is read in windows only")

    def decoded(self) -> Image.Image:
        """The image, reduced to at most `OVERVIEW_SIDE` pixels on its longest side."""
        with self.open() as raster:
            return Image.fromarray(raster.read_reduced(OVERVIEW_SIDE)[0])

    def size(self) -> tuple[int, int]:
        """Width and height of the whole image."""
        with self.open() as raster:
            return raster.size


def as_scene(item: Item, options: SceneOptions) -> Item:
    """The image as one to read in windows, if it is too large for the server or georeferenced; else the image itself.

    Raises:
        DependencyError: it must be read in windows, and rasterio is not installed.
    """
    path = item.path if isinstance(item, FileItem) else item.source if isinstance(item, FrameItem) else None
    if not isinstance(path, Path) or not is_file(path):
        return item
    page = _tiff_page(path, item.directory if isinstance(item, FrameItem) else 0)
    is_wanted = options.bands is not None or _is_on_a_map(path, page)
    if not is_wanted and not is_too_large(path, page):
        return item
    try:
        _raster_module()
    except DependencyError:
        if options.bands is None and not is_too_large(path, page):
            return item  # it can be detected without its place on the map
        raise
    directory = item.directory if isinstance(item, FrameItem) else None
    page_index = item.page_index if isinstance(item, FrameItem) else None
    return SceneItem(item.input_path, page_index, item.index, path, directory, options, subfolder=item.subfolder)


def is_too_large(path: Path, page: TiffPage | None = None) -> bool:
    """Whether the server, in its default settings, refuses the image in this file for its size."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return True
        size = image_size(path) if page is None else page.size
    except (OSError, ValueError):  # ValueError: a null byte in the path
        return False
    return size is not None and size[0] * size[1] > MAX_PIXELS


def _tiff_page(path: Path, directory: int) -> TiffPage | None:
    try:
        with path.open("rb") as file:
            pages = tiff_pages(file)
    except (OSError, ValueError):
        return None
    return next((page for page in pages if page.directory == directory), None)


def _is_on_a_map(path: Path, page: TiffPage | None) -> bool:
    if page is not None:
        return page.is_georeferenced or _has_world_file(path)
    try:
        with path.open("rb") as file:
            is_jpeg_2000 = path.suffix.lower() in _JPEG_2000 and _GEO_JP2 in file.read(_HEAD_BYTES)
    except (OSError, ValueError):
        return False
    return is_jpeg_2000 or _has_world_file(path)


def _has_world_file(path: Path) -> bool:
    """Whether `scene.jgw`, `scene.wld` or the like lies beside `scene.jpg`."""
    suffix = path.suffix[1:]
    short = suffix[:1] + suffix[-1:] + "w"
    return any(path.with_suffix(f".{name}").is_file() for name in (short, f"{suffix}w", "wld") if name != "w")


def _raster_module() -> Any:
    try:
        from sod_client._inputs.rasters import raster  # noqa: PLC0415 - it needs numpy and rasterio, which are optional
    except ImportError as error:
        raise DependencyError(f"an image of this size or format needs rasterio: {_INSTALL}") from error
    return raster


def check_bands(bands: Sequence[int] | None) -> tuple[int, ...] | None:
    """The numbers of bands.

    Raises:
        InvalidConfigError: they are not one or three numbers from 1.
    """
    if bands is None:
        return None
    numbers = (bands,) if isinstance(bands, int) else tuple(bands)
    if len(numbers) not in (1, 3) or not all(type(band) is int and band >= 1 for band in numbers):
        raise InvalidConfigError(f"bands must be one number, or three for red, green and blue, from 1, not {bands!r}")
    return numbers
