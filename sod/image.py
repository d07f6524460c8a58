"""Encoded image → pixels, as PaddleX reads them: OpenCV's colour decoding, plain cubic resize, RGB.

Sources: PaddleX `ReadImage` (cv2.IMREAD_COLOR; `sod.formats.exif` finds the EXIF orientation as OpenCV does) and the
models' `inference.yml` (`Resize: {interp: 2, keep_ratio: false}`).
"""

import io
import os
import struct
import warnings
from dataclasses import dataclass
from threading import Lock

from sod.formats.image_structure import StructureLimits, check_structure

# OpenCV reads this when it is loaded. It is the second line behind `check_image`, for files whose header says less than
# the decoder finds.
os.environ.setdefault(
    "OPENCV_IO_MAX_IMAGE_PIXELS", os.environ.get("SOD_MAX_IMAGE_PIXELS") or str(StructureLimits().pixels)
)

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from sod.errors import ImageTooLargeError, InvalidImageError
from sod.formats.exif import QUARTER_TURNS, orientation_of
from sod.formats.tiff_samples import describe_problem, is_signed

DEFAULT_LIMITS = StructureLimits()
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
# The first bytes of files in these formats.
_SIGNATURES = (b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF", b"BM", b"II", b"MM")

# `check_image` enforces our limit instead of Pillow's.
Image.MAX_IMAGE_PIXELS = None
# `catch_warnings` changes global state; reading a header takes microseconds.
_WARNINGS = Lock()


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Metadata of an encoded image, read without decoding it.

    Attributes:
        format: One of `FORMATS`.
        width: Stored width in pixels, before any EXIF rotation; of a TIFF, after the rotation by its own tag.
        height: Stored height in pixels.
        orientation: EXIF orientation that decoding applies, 1 (upright) to 8; see `sod.formats.exif`.
    """

    format: str
    width: int
    height: int
    orientation: int = 1

    @property
    def shown_size(self) -> tuple[int, int]:
        """(width, height) of the decoded image, EXIF rotation applied."""
        turned = self.orientation in QUARTER_TURNS
        return (self.height, self.width) if turned else (self.width, self.height)


def may_be_image(head: bytes | bytearray) -> bool:
    """Whether a file that begins with these bytes, at least eight, may be an image of one of `FORMATS`."""
    return head.startswith(_SIGNATURES)


def read_header(data: bytes) -> ImageHeader:
    """Read format, size and orientation in one pass, without decoding.

    Raises:
        InvalidImageError: The data is empty, or not in one of `FORMATS`.
    """
    wanted = "send JPEG, PNG, WebP, BMP or TIFF"
    if not data:
        raise InvalidImageError(f"the image is empty (0 bytes): {wanted}")
    try:
        with _WARNINGS, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damaged metadata
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                width, height = image.size
                # An MPO (a stereo or burst JPEG) is read as the JPEG that it begins with.
                name = "JPEG" if image.format == "MPO" else str(image.format)
    except UnidentifiedImageError:
        if problem := describe_problem(data):
            raise InvalidImageError(problem) from None
        raise InvalidImageError(f"these {len(data)} bytes are not an image we can read: {wanted}") from None
    except (OSError, ValueError, SyntaxError, struct.error, OverflowError, EOFError, TypeError, KeyError) as error:
        raise InvalidImageError(f"the image's header is damaged ({error}): {wanted}") from None
    return ImageHeader(name, width, height, orientation_of(data))


def check_image(data: bytes, limits: StructureLimits = DEFAULT_LIMITS) -> ImageHeader:
    """Check what decoding would cost and read the header, so that a bomb takes neither time nor memory.

    Args:
        data: The encoded image.
        limits: How many pixels it may have, and what beside them.

    Raises:
        InvalidImageError: The data is not an image.
        ImageTooLargeError: The image has more pixels than the limit.
        ImageTooComplexError: The file has more scans, chunks, tags or metadata than the limits allow.
    """
    # Before the header, whose reader goes through all metadata.
    check_structure(data, limits)
    header = read_header(data)
    if header.width * header.height > limits.pixels:
        raise ImageTooLargeError(
            f"the image has {header.width} x {header.height} = {header.width * header.height:,} pixels; "
            f"the limit is {limits.pixels:,}: send a smaller one, or tiles of it"
        )
    return header


def decode_image(data: bytes, limits: StructureLimits = DEFAULT_LIMITS) -> NDArray[np.uint8]:
    """Check and decode an image; see `check_image` and `decode_checked`."""
    return decode_checked(data, check_image(data, limits))


def decode_checked(data: bytes, header: ImageHeader) -> NDArray[np.uint8]:
    """Decode to uint8 BGR [H, W, 3]: EXIF orientation applied, alpha dropped, 16 bits reduced to 8.

    Samples of 16 bits keep their upper byte (value // 256), and samples of 32 bits and floating-point numbers are
    refused; see `sod.formats.tiff_samples`. A truncated JPEG decodes to the part that is there, as it does in PaddleX.

    Args:
        data: The encoded image.
        header: Its header, from `check_image`.

    Raises:
        InvalidImageError: The data is damaged beyond decoding, or decodes to another size than its header says.
    """
    image = None if is_signed(data) else _imdecode(data)
    if image is not None and image.shape[1::-1] != (header.width, header.height):
        raise InvalidImageError(
            f"the {header.format} image says {header.width} x {header.height} pixels and decodes to "
            f"{image.shape[1]} x {image.shape[0]}: save it anew"
        )
    if image is None and header.format == "JPEG":
        # OpenCV from 4.11 on refuses a truncated JPEG; with an end-of-image marker appended it decodes the rest.
        image = _imdecode(data + b"\xff\xd9")
    if image is None:
        if problem := describe_problem(data):
            raise InvalidImageError(problem)
        raise InvalidImageError(
            f"the {header.format} image of {header.width} x {header.height} pixels cannot be decoded: "
            "its data is damaged or of a kind that OpenCV does not read"
        )
    return _upright(image, header.orientation)


def _upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """The image as it is shown, for its EXIF orientation."""
    if orientation == 1:
        return image
    if orientation in QUARTER_TURNS:
        image = np.asarray(cv2.transpose(image), np.uint8)
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return image if flip is None else np.asarray(cv2.flip(image, flip), np.uint8)


def _imdecode(data: bytes) -> NDArray[np.uint8] | None:
    # The orientation is applied by `_upright`, so that the pixels always match the size that the header gives.
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    return None if image is None else np.asarray(image, np.uint8)


def resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize to the detector's size; an image that already has it is returned as it is.

    Args:
        image: uint8 [h, w, 3].
        size: (height, width); the aspect is not kept.

    Returns:
        uint8 [height, width, 3], channels in the same order.
    """
    if image.shape[:2] == size:
        return image
    return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def to_pixels(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize to the detector's size and convert to RGB.

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
