"""Turns the samples of a raster into pixels: bands, palettes, and the range that becomes 0 to 255."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sod_client._inputs.stretch import HIGH, LOW, Stretch
from sod_client.errors import InvalidConfigError, UnreadableFileError

Pixels = NDArray[np.uint8]
"""uint8 [H, W, 3], RGB."""
Mask = NDArray[np.bool_]
"""bool [H, W], whether a pixel has data."""

_COLOURS = ("red", "green", "blue")
_INKS = ("cyan", "magenta", "yellow", "black")


@dataclass(frozen=True)
class BandLayout:
    """Which bands are read and what they mean.

    Attributes:
        bands: their numbers, from 1; one (grey), three (red, green, blue), or four (inks).
        palette: uint8 [256, 3], the colour of each value of the one band; None without a palette.
        is_inks: whether the bands are cyan, magenta, yellow and black.
        is_negative: whether 0 stands for white.
        bits: bits of a sample that are used.
        dtype: the samples' type, as numpy names it.
    """

    bands: tuple[int, ...]
    palette: Pixels | None
    is_inks: bool
    is_negative: bool
    bits: int
    dtype: str


def choose_bands(dataset: Any, wanted: tuple[int, ...] | None) -> BandLayout:
    """The bands to read: those that are wanted, or else red, green and blue, the first three, or the first one.

    Raises:
        InvalidConfigError: the raster has no such band.
        UnreadableFileError: the samples are complex numbers, or the bands have different types.
    """
    roles = [colour.name for colour in dataset.colorinterp]
    if wanted is not None:
        bands = wanted
        if max(bands) > dataset.count:
            number = dataset.count
            raise InvalidConfigError(
                f"bands: the image has {number} band{'' if number == 1 else 's'}, not {max(bands)}"
            )
    elif all(ink in roles for ink in _INKS):
        bands = tuple(roles.index(ink) + 1 for ink in _INKS)
    elif all(colour in roles for colour in _COLOURS):
        bands = tuple(roles.index(colour) + 1 for colour in _COLOURS)
    else:
        visible = [band for band, role in enumerate(roles, 1) if role != "alpha"] or [1]
        bands = tuple(visible[:3] if len(visible) >= 3 else visible[:1])
    types = {dataset.dtypes[band - 1] for band in bands}
    if len(types) > 1:
        raise UnreadableFileError(
            f"the bands have different types ({', '.join(sorted(types))}): choose others with bands"
        )
    dtype = types.pop()
    if dtype.startswith("complex"):
        raise UnreadableFileError("the samples are complex numbers: save their magnitude as an image first")
    bits = dataset.tags(bands[0], ns="IMAGE_STRUCTURE").get("NBITS", "")
    return BandLayout(
        bands,
        _palette(dataset, bands, dtype),
        is_inks=wanted is None and len(bands) == 4,
        is_negative=dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES",
        bits=int(bits) if bits.isdecimal() else 8 * (1 if dtype in ("uint8", "int8") else 2),
        dtype=dtype,
    )


def _palette(dataset: Any, bands: tuple[int, ...], dtype: str) -> Pixels | None:
    if len(bands) != 1 or dtype != "uint8" or dataset.colorinterp[bands[0] - 1].name != "palette":
        return None
    colours: Pixels = np.zeros((256, 3), np.uint8)
    for value, colour in dataset.colormap(bands[0]).items():
        if 0 <= value < 256:
            colours[value] = colour[:3]
    return colours


def check_stretch(layout: BandLayout, stretch: Stretch) -> None:
    """Check that the samples have a fixed black and white, or are scaled.

    Raises:
        UnreadableFileError: they have not.
    """
    if stretch == "none" and layout.dtype not in ("uint8", "uint16"):
        kind = "floating-point" if layout.dtype.startswith("float") else layout.dtype
        raise UnreadableFileError(
            f"the image has {kind} samples, which have no fixed black and white: pass --stretch, or stretch=True, to "
            "scale them"
        )


def limits(samples: NDArray[Any], valid: Mask | None, stretch: Stretch) -> tuple[float, float] | None:
    """The values that become 0 and 255; None if no sample is valid.

    Args:
        samples: [C, H, W].
        valid: bool [H, W]; None if all are.
        stretch: `percentile` or `min-max`.
    """
    values = (samples if valid is None else samples[:, valid]).astype(np.float64).ravel()
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    low, high = (values.min(), values.max()) if stretch == "min-max" else np.percentile(values, (LOW, HIGH))
    return float(low), float(high)


def to_pixels(
    samples: NDArray[Any], valid: Mask | None, layout: BandLayout, scale: tuple[float, float] | None
) -> Pixels:
    """The pixels of samples.

    Args:
        samples: [C, H, W].
        valid: bool [H, W]; other pixels become black. None if all are valid.
        layout: what the samples mean.
        scale: the values that become 0 and 255; None keeps 8 bits, and the upper byte of 16.

    Returns:
        uint8 [H, W, 3], RGB.
    """
    if valid is not None and not valid.any():
        return np.zeros((*valid.shape, 3), np.uint8)
    if scale is not None:
        low, high = scale
        scaled = (samples.astype(np.float32) - np.float32(low)) * np.float32(255 / max(high - low, 1e-12))
        levels = np.rint(np.clip(np.nan_to_num(scaled, nan=0.0), 0, 255)).astype(np.uint8)
    elif layout.dtype == "uint16":
        levels = (samples >> 8).astype(np.uint8)
    elif layout.bits < 8 and layout.palette is None:
        levels = (samples.astype(np.uint16) * 255 // (2**layout.bits - 1)).astype(np.uint8)
    else:
        levels = samples
    if layout.palette is not None:
        pixels: Pixels = layout.palette[levels[0]]
    elif layout.is_inks:
        light = 255 - levels.astype(np.uint16)
        pixels = _interleaved((light[:3] * light[3] // 255).astype(np.uint8))
    else:
        pixels = _interleaved(255 - levels if layout.is_negative else levels)
    if valid is not None:
        pixels[~valid] = 0
    return pixels


def _interleaved(levels: Pixels) -> Pixels:
    """uint8 [1 or 3, H, W] as [H, W, 3]; with Pillow, which takes a tenth of numpy's time."""
    planes = [Image.fromarray(np.ascontiguousarray(level)) for level in levels]
    return np.array(Image.merge("RGB", planes if len(planes) == 3 else planes * 3))
