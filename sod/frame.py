"""The image's frame as the client sees it, and boxes cut off at it, as PaddleX's are."""

import io
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sod.detections import Detections
from sod.image import read_header

_ORIENTATION = 0x0112
_QUARTER_TURNS = (5, 6, 7, 8)
# The formats whose EXIF orientation OpenCV applies; Pillow's size of a TIFF is turned already.
_TURNED = ("JPEG", "PNG")


def shown_size(image: bytes) -> tuple[int, int]:
    """Width and height that `sod.image.decode_image` would give, from the header alone.

    Raises:
        InvalidImageError: not an image.
    """
    header = read_header(image)
    if header.format in _TURNED and _orientation(image) in _QUARTER_TURNS:
        return header.height, header.width
    return header.width, header.height


def clip(detections: Detections, width: int, height: int) -> Detections:
    """The detections with their boxes cut off at the image's edges."""
    frame = np.array([width, height, width, height], np.float32)
    boxes = np.clip(detections.boxes, np.float32(0), frame)
    return Detections(boxes, detections.scores, detections.class_ids)


def to_source(detections: Detections, scale_factor: NDArray[np.float32]) -> Detections:
    """Detections of a resized image, as they are in the source image.

    Args:
        detections: boxes in pixels of the resized image.
        scale_factor: float32 [2], (scale_y, scale_x), the resized image's size over the source's.
    """
    return Detections(detections.boxes / scale_factor[[1, 0, 1, 0]], detections.scores, detections.class_ids)


def _orientation(image: bytes) -> int:
    """EXIF orientation, 1 (upright) without one or where it cannot be read.

    Read by hand: Pillow's `getexif` looks into XMP too, which OpenCV does not.
    """
    with Image.open(io.BytesIO(image), formats=_TURNED) as opened:
        tiff = bytes(opened.info.get("exif", b"")).removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}4xI", tiff)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for index in range(count):
            tag, value = struct.unpack_from(f"{order}H6xH", tiff, start + 2 + 12 * index)
            if tag == _ORIENTATION:
                return int(value)
    except struct.error:  # it ends early
        pass
    return 1
