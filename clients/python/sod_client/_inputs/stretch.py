"""Scales samples of more than 8 bits to 8, for images that do not use the whole range of their type."""

import io
from typing import Any, Literal

from PIL import Image

from sod_client._inputs.pixels import bits_of, is_negative, to_png
from sod_client._optional import require
from sod_client.errors import InvalidConfigError, UnreadableFileError

Stretch = Literal["none", "percentile", "min-max"]
STRETCHES: tuple[Stretch, ...] = ("none", "percentile", "min-max")
LOW, HIGH = 0.5, 99.5  # percentiles
_FEATURE = "stretch"
_INSTALL = "opencv-python-headless"


def stretch_encoded(content: bytes, frame: int = 0, *, stretch: Stretch = "percentile") -> bytes:
    """Scale an encoded image; see `stretch_array`. An image with 8 bits is returned unchanged.

    Args:
        content: PNG or TIFF.
        frame: of a TIFF that has several, from 0.
        stretch: as of `stretch_array`.

    Returns:
        The image as PNG; upright.

    Raises:
        UnreadableFileError: OpenCV cannot decode the image.
        DependencyError: OpenCV is not installed.
    """
    is_tiff, negative = content[:2] in (b"II", b"MM"), False
    try:
        with Image.open(io.BytesIO(content)) as image:
            if not is_tiff and bits_of(image, content) <= 8:
                return content
            negative = is_tiff and is_negative(image)
    except (OSError, ValueError, SyntaxError):  # Pillow reads fewer kinds of TIFF than OpenCV
        if not is_tiff:
            return content  # the server says what is wrong with it
    cv2 = require("cv2", _FEATURE, _INSTALL)
    numpy = require("numpy", _FEATURE, _INSTALL)
    data = numpy.frombuffer(content, numpy.uint8)
    try:
        if is_tiff:
            read, frames = cv2.imdecodemulti(data, cv2.IMREAD_UNCHANGED)
            array = frames[frame] if read and frame < len(frames) else None
        else:
            array = cv2.imdecode(data, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
    except cv2.error:
        array = None
    if array is None:
        raise UnreadableFileError("the image cannot be decoded to be stretched: save it with 8 or 16 bits")
    if array.dtype == numpy.uint8:
        return content if frame == 0 and not is_tiff else to_png(_to_image(array, numpy))
    stretched = stretch_array(array, stretch)
    return to_png(_to_image(255 - stretched if negative else stretched, numpy))


def stretch_array(array: Any, stretch: Stretch = "percentile") -> Any:
    """Scale an array linearly: what lies below its 0.5th percentile becomes 0, what lies above its 99.5th 255.

    Args:
        array: [H, W] or [H, W, C], of integers or floating-point numbers; NaN becomes 0.
        stretch: `min-max` takes the lowest and the highest value instead of the percentiles.

    Returns:
        uint8 of the same shape.
    """
    numpy = require("numpy", _FEATURE, _INSTALL)
    values = array.astype(numpy.float64)
    finite = values[numpy.isfinite(values)]
    if not finite.size:
        return numpy.zeros(array.shape, numpy.uint8)
    low, high = numpy.percentile(finite, (0, 100) if stretch == "min-max" else (LOW, HIGH))
    scaled = (values - low) * (255 / max(high - low, 1e-12))
    return numpy.rint(numpy.clip(numpy.nan_to_num(scaled, nan=0.0), 0, 255)).astype(numpy.uint8)


def _to_image(array: Any, numpy: Any) -> Image.Image:
    """An image of uint8 [H, W] grey, or [H, W, C] whose first three channels are BGR."""
    if array.ndim == 2 or array.shape[2] < 3:
        return Image.fromarray(array if array.ndim == 2 else array[..., 0]).convert("RGB")
    return Image.fromarray(numpy.ascontiguousarray(array[..., 2::-1]))


def check_stretch(stretch: object) -> Stretch:
    """The way to scale: True is `percentile`, and False `none`.

    Raises:
        InvalidConfigError: there is no such way.
    """
    if isinstance(stretch, bool):
        return "percentile" if stretch else "none"
    for known in STRETCHES:
        if stretch == known:
            return known
    raise InvalidConfigError(f"stretch must be True, False, {', '.join(map(repr, STRETCHES))}, not {stretch!r}")
