"""Encoded image → pixels, as PaddleX reads them: OpenCV's colour decoding, plain cubic resize, RGB.

Sources: PaddleX `ReadImage` (cv2.IMREAD_COLOR, EXIF orientation applied) and the models' `inference.yml`
(`Resize: {interp: 2, keep_ratio: false}`).
"""

import io
import struct
import warnings
from dataclasses import dataclass
from threading import Lock

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from sod.errors import ImageTooLargeError, InvalidImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
DEFAULT_MAX_PIXELS = 8192 * 8192
# How the files of `FORMATS` begin.
_BEGINNINGS = (b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF", b"BM", b"II", b"MM")

# Pillow's own limit is another than ours, which `check_image` holds.
Image.MAX_IMAGE_PIXELS = None
# `catch_warnings` swaps a global; a header takes microseconds.
_WARNINGS = Lock()


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What an image says of itself before it is decoded; size in pixels, before any EXIF rotation."""

    format: str
    width: int
    height: int


def may_be_image(head: bytes | bytearray) -> bool:
    """Whether the first bytes of a file, at least eight, are how an image of one of `FORMATS` begins."""
    return head.startswith(_BEGINNINGS)


def read_header(data: bytes) -> ImageHeader:
    """Read format and size from the first bytes, without decoding.

    Raises:
        InvalidImageError: empty, or not one of `FORMATS`.
    """
    wanted = "send JPEG, PNG, WebP, BMP or TIFF"
    if not data:
        raise InvalidImageError(f"the image is empty (0 bytes): {wanted}")
    try:
        with _WARNINGS, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged metadata
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                width, height = image.size
                # An MPO (a stereo or burst JPEG) is read as the JPEG it begins with.
                name = "JPEG" if image.format == "MPO" else str(image.format)
    except UnidentifiedImageError:
        raise InvalidImageError(f"these {len(data)} bytes are not an image we can read: {wanted}") from None
    except (OSError, ValueError, SyntaxError, struct.error, OverflowError, EOFError, TypeError, KeyError) as error:
        raise InvalidImageError(f"the image's header is damaged ({error}): {wanted}") from None
    return ImageHeader(name, width, height)


def check_image(data: bytes, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageHeader:
    """Read the header and hold its size against a limit, so that no memory is spent on a bomb.

    Raises:
        InvalidImageError: not an image.
        ImageTooLargeError: more than `max_pixels` pixels.
    """
    header = read_header(data)
    if header.width * header.height > max_pixels:
        raise ImageTooLargeError(
            f"the image has {header.width} x {header.height} = {header.width * header.height:,} pixels; "
            f"the limit is {max_pixels:,}: send a smaller one, or tiles of it"
        )
    return header


def decode_image(data: bytes, max_pixels: int = DEFAULT_MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode to uint8 BGR [H, W, 3]: EXIF orientation applied, alpha dropped, 16 bits reduced to 8.

    A JPEG that ends early decodes to what is there, as it does in PaddleX.

    Raises:
        InvalidImageError: not an image, or damaged beyond decoding.
        ImageTooLargeError: more than `max_pixels` pixels by its header.
    """
    header = check_image(data, max_pixels)
    image = _imdecode(data)
    if image is None and header.format == "JPEG":
        # OpenCV from 4.11 on refuses a JPEG that ends early; given an end-of-image marker it decodes what is there.
        image = _imdecode(data + b"\xff\xd9")
    if image is None:
        raise InvalidImageError(
            f"the {header.format} image of {header.width} x {header.height} pixels cannot be decoded: "
            "its data is damaged or of a kind that OpenCV does not read"
        )
    return image


def _imdecode(data: bytes) -> NDArray[np.uint8] | None:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if image is None else np.asarray(image, np.uint8)


def resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize to the detector's size; the image itself if it has it.

    Args:
        image: uint8 [h, w, 3].
        size: (height, width); the aspect is not kept.

    Returns:
        uint8 [height, width, 3], colours in the same order.
    """
    if image.shape[:2] == size:
        return image
    return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def to_pixels(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize to the detector's size and turn to RGB.

    Args:
        image: uint8 BGR [h, w, 3].
        size: (height, width) of the detector's input; the aspect is not kept.

    Returns:
        uint8 RGB [height, width, 3].
    """
    return np.asarray(cv2.cvtColor(resize(image, size), cv2.COLOR_BGR2RGB), np.uint8)


def scale_factor(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float32]:
    """Paddle's `scale_factor`: float32 [2], (scale_y, scale_x) = detector's size over the image's."""
    return np.array([size[0] / image.shape[0], size[1] / image.shape[1]], np.float32)
