"""Windows of a raster file: GeoTIFF, BigTIFF, COG, JPEG 2000, and large JPEG and PNG.

Nothing is decoded beyond the window that is asked for, the blocks that it touches, and GDAL's cache. Files that can
only be decoded from top to bottom (JPEG, PNG, TIFFs of strips) are read in rows of windows, each line once.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from sod_client._inputs.exif import QUARTER_TURNS, orientation_of
from sod_client._inputs.rasters import samples
from sod_client._inputs.rasters.georeference import Georeference, georeference_of
from sod_client._inputs.rasters.samples import Mask, Pixels
from sod_client._inputs.stretch import Stretch
from sod_client.errors import SodError, SodWarning, UnreadableFileError

Read = tuple[Pixels, Mask | None]
"""The pixels of a window, and which of them have data; None if all have."""

# GDAL's driver by the first bytes of the file, so that no file can name others, which GDAL would follow.
_DRIVERS = {
    b"II*\0": "GTiff",
    b"MM\0*": "GTiff",
    b"II+\0": "GTiff",
    b"MM\0+": "GTiff",
    b"\0\0\0\x0cjP": "JP2OpenJPEG",
    b"\xff\x4f\xff\x51": "JP2OpenJPEG",
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
}
_CACHE_BYTES = 96 * 2**20
_MAX_BLOCK_BYTES = 2**28
_MAX_ROWS_BYTES = 2**28  # of the rows of windows that are kept
_CHUNK_ROWS = 64
_STATISTICS_SIDE = 1024
_SAMPLE_WINDOWS, _SAMPLE_SIDE = 8, 128  # 8 x 8 windows of 128 x 128 pixels
_DARK = 64 * 256  # as in `_inputs.pixels`: values below it are of 14 bits
_HEAD_BYTES = 2**20  # of a JPEG or PNG, in which its orientation is looked for


class Raster:
    """One page of a raster file, open for reading; only one thread may use it.

    Args:
        path: the file.
        directory: which directory of a TIFF with several pages, from 0; None is the only one.
        bands: numbers of the bands to read, one or three, from 1; None chooses.
        stretch: the range of values that becomes 0 to 255; it is the same for all windows.

    Raises:
        UnreadableFileError: the file cannot be read, or its samples have no fixed black and white.
        InvalidConfigError: the file has no such band.
    """

    def __init__(
        self, path: Path, directory: int | None = None, bands: tuple[int, ...] | None = None, stretch: Stretch = "none"
    ) -> None:
        self._path = path
        self._errors = (RasterioError, OSError, UnicodeError, ValueError, MemoryError)
        self._env = rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES, GTIFF_FORCE_RGBA=False)
        with self._env, self._explained("the image cannot be opened"):
            self._dataset = _open(path, directory)
        try:
            self._set_up(path, bands, stretch)
        except BaseException:
            self.close()
            raise

    def _set_up(self, path: Path, bands: tuple[int, ...] | None, stretch: Stretch) -> None:
        data = self._dataset
        with self._env, self._explained("the image cannot be read"):
            self.georeference: Georeference | None = georeference_of(data)
            self._layout = samples.choose_bands(data, bands)
            samples.check_stretch(self._layout, stretch)
            self._turn = 1
            if self.georeference is None:
                self._turn = _orientation(path, data)
            self._alpha = next((i for i, role in enumerate(data.colorinterp, 1) if role.name == "alpha"), None)
            flags = [flag.name for flag in data.mask_flag_enums[self._layout.bands[0] - 1]]
            self._has_mask = "per_dataset" in flags and self._alpha is None
            self._nodata = [data.nodatavals[band - 1] for band in self._layout.bands]
            height, width = data.block_shapes[0]
        item = {"uint8": 1, "int8": 1, "uint16": 2, "int16": 2, "float64": 8}.get(self._layout.dtype, 4)
        if height * width * item * len(self._layout.bands) > _MAX_BLOCK_BYTES:
            raise UnreadableFileError(
                f"it is stored in blocks of {width} x {height} pixels, each of which must be decoded whole: convert it "
                "with `gdal_translate -co TILED=YES -co BIGTIFF=IF_SAFER`"
            )
        # Blocks as wide as the image: a window would decode the lines of all its neighbours again.
        self._in_rows = width >= data.width and data.driver != "JP2OpenJPEG" and data.width > 4096
        self._rows: tuple[int, Pixels, Mask | None] | None = None
        self._stretch = stretch
        self._is_prepared = False
        self._limits: tuple[float, float] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as the image is shown, in pixels."""
        size = (int(self._dataset.width), int(self._dataset.height))
        return size[::-1] if self._turn in QUARTER_TURNS else size

    def read(self, x: int, y: int, width: int, height: int) -> Read:
        """The pixels of a window, uint8 [height, width, 3] RGB, and which of them have data, bool; None if all have.

        Raises:
            UnreadableFileError: the file is damaged there.
        """
        self._prepare_scale()
        fits = self.size[0] * height * 4 <= _MAX_ROWS_BYTES
        if not self._in_rows or not fits:
            return self._read_window(x, y, width, height)
        first, pixels, valid = self._rows_of(y, height)
        top = y - first
        return (
            pixels[top : top + height, x : x + width],
            None if valid is None else valid[top : top + height, x : x + width],
        )

    def read_reduced(self, longest: int) -> Read:
        """The whole image, reduced so that its longest side has at most so many pixels; from overviews if it has any.

        Returns:
            As `read`.
        """
        self._prepare_scale()
        width, height = self._dataset.width, self._dataset.height
        factor = min(1.0, longest / max(width, height))
        shape = (max(1, round(height * factor)), max(1, round(width * factor)))
        can_average = self._layout.palette is None and not self._in_rows
        with self._env, self._explained("the reduced image cannot be read"):
            raw, valid = self._samples(None, shape, Resampling.average if can_average else Resampling.nearest)
        self._rows = None
        return self._turned(samples.to_pixels(raw, valid, self._layout, self._limits), valid)

    def close(self) -> None:
        """Close the file."""
        with self._env:
            self._dataset.close()

    def __enter__(self) -> "Raster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rows_of(self, y: int, height: int) -> tuple[int, Pixels, Mask | None]:
        """The lines y to y + height in full width; lines that were read before are kept."""
        first, last = y, y
        kept: list[tuple[Pixels, Mask | None]] = []
        if self._rows is not None:
            start, pixels, valid = self._rows
            if start <= y and y + height <= start + len(pixels):
                return self._rows
            if start <= y < start + len(pixels):
                kept.append((pixels[y - start :].copy(), None if valid is None else valid[y - start :].copy()))
                last = start + len(pixels)
        self._rows = None
        for top in range(last, y + height, _CHUNK_ROWS):
            kept.append(self._read_window(0, top, self.size[0], min(_CHUNK_ROWS, y + height - top)))
        valid = None
        if any(part[1] is not None for part in kept):
            valid = np.concatenate([_full(part) for part in kept])
        self._rows = (first, np.concatenate([part[0] for part in kept]), valid)
        return self._rows

    def _read_window(self, x: int, y: int, width: int, height: int) -> Read:
        window = Window(*_to_file(self._turn, self.size, (x, y, width, height)))
        with self._env, self._explained(f"the window at ({x}, {y}) of {width} x {height} pixels cannot be read"):
            raw, valid = self._samples(window, None, None)
        return self._turned(samples.to_pixels(raw, valid, self._layout, self._limits), valid)

    def _samples(self, window: Any, shape: tuple[int, int] | None, resampling: Any) -> tuple[NDArray[Any], Mask | None]:
        """Samples [C, H, W], and which pixels have data; None if all have."""
        options: dict[str, Any] = {"window": window}
        bands = list(self._layout.bands)
        if shape is not None:
            options |= {"out_shape": (len(bands), *shape), "resampling": resampling}
        raw = self._dataset.read(bands, **options)
        valid = None
        if any(value is not None for value in self._nodata):
            has_data = np.zeros(raw.shape[1:], bool)
            for band, value in zip(raw, self._nodata, strict=True):
                has_data |= True if value is None else ~np.isnan(band) if value != value else band != value  # noqa: PLR0124 - NaN
            valid = has_data
        if raw.dtype.kind == "f":
            finite = np.isfinite(raw).any(axis=0)
            if not finite.all():
                valid = finite if valid is None else valid & finite
        if self._alpha is not None or self._has_mask:
            if shape is not None:
                options["out_shape"] = shape
                options["resampling"] = Resampling.nearest
            read = self._dataset.read if self._alpha is not None else self._dataset.read_masks
            shown = read(self._alpha or bands[0], **options) > 0
            valid = shown if valid is None else valid & shown
        return raw, None if valid is None or valid.all() else valid

    def _turned(self, pixels: "Pixels", valid: "Mask | None") -> Read:
        return _turn(pixels, self._turn), None if valid is None else _turn(valid, self._turn)

    def _prepare_scale(self) -> None:
        """Find the values that become 0 and 255, once for the whole image; without scaling, warn if it looks black."""
        if self._is_prepared:
            return
        self._is_prepared = True
        if self._layout.dtype == "uint8" or (self._stretch == "none" and self._in_rows):
            return
        with self._env, self._explained("the values to scale cannot be read"):
            found = self._sampled_limits("min-max" if self._stretch == "none" else self._stretch)
        if self._stretch != "none":
            self._limits = found or (0.0, 1.0)
        elif found is not None and found[1] < _DARK:
            warnings.warn(
                f"{self._path}: the image has 16 bits but no value above {found[1]:g} where it was sampled, so it "
                "looks almost black: pass --stretch, or stretch=True, to scale its values",
                SodWarning,
                stacklevel=4,
            )

    def _sampled_limits(self, stretch: Stretch) -> tuple[float, float] | None:
        """Limits from an overview; in a large image without overviews, from windows spread over it."""
        data = self._dataset
        width, height = data.width, data.height
        is_large = width * height > 64 * 2**20 and not data.overviews(self._layout.bands[0])
        if is_large and not self._in_rows:
            found: list[Any] = []
            for row in range(_SAMPLE_WINDOWS):
                for column in range(_SAMPLE_WINDOWS):
                    x = (width - _SAMPLE_SIDE) * column // (_SAMPLE_WINDOWS - 1)
                    y = (height - _SAMPLE_SIDE) * row // (_SAMPLE_WINDOWS - 1)
                    window = Window(max(x, 0), max(y, 0), min(_SAMPLE_SIDE, width), min(_SAMPLE_SIDE, height))
                    raw, valid = self._samples(window, None, None)
                    found.append(raw.reshape(len(raw), -1) if valid is None else raw[:, valid])
            together = np.concatenate(found, axis=1)[..., None]
            if (limits := samples.limits(together, None, stretch)) is not None:
                return limits
        factor = min(1.0, _STATISTICS_SIDE / max(width, height))
        shape = (max(1, round(height * factor)), max(1, round(width * factor)))
        return samples.limits(*self._samples(None, shape, Resampling.nearest), stretch)

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except SodError:
            raise
        except self._errors as error:
            reason = error.__cause__ or error
            raise UnreadableFileError(f"{what}: {' '.join(str(reason).split())}") from error


def _open(path: Path, directory: int | None) -> Any:
    with path.open("rb") as file:
        head = file.read(8)
    driver = next((name for signature, name in _DRIVERS.items() if head.startswith(signature)), None)
    if driver is None:
        raise UnreadableFileError(
            "it is too large to be sent whole, and only TIFF, JPEG 2000, JPEG and PNG can be read in windows"
        )
    name = str(path.absolute())
    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
    return rasterio.open(name if directory is None else f"GTIFF_DIR:{directory + 1}:{name}", driver=driver)


def _orientation(path: Path, dataset: Any) -> int:
    """The orientation to apply, 1 to 8; GDAL applies none."""
    if dataset.driver in ("JPEG", "PNG"):
        with path.open("rb") as file:
            return orientation_of(file.read(_HEAD_BYTES))
    text = dataset.tags().get("TIFFTAG_ORIENTATION", "1")
    return int(text) if text in tuple("12345678") else 1


def _full(part: Read) -> Mask:
    pixels, valid = part
    full: Mask = np.ones(pixels.shape[:2], bool) if valid is None else valid
    return full


def _to_file(turn: int, size: tuple[int, int], window: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """The window of the file (x, y, width, height) that shows a window of the turned image of this size."""
    x, y, width, height = window
    if turn in (2, 3, 6, 7):  # the file's rows or columns run against the image's x
        x = size[0] - x - width
    if turn in (3, 4, 7, 8):
        y = size[1] - y - height
    return (y, x, height, width) if turn in QUARTER_TURNS else (x, y, width, height)


def _turn(array: Any, turn: int) -> Any:
    """Rows and columns of the file as the image shows them, for an array [H, W, ...]."""
    if turn in QUARTER_TURNS:
        array = array.swapaxes(0, 1)
    if turn in (2, 3, 6, 7):
        array = array[:, ::-1]
    if turn in (3, 4, 7, 8):
        array = array[::-1]
    return array
