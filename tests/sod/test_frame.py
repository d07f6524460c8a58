"""The size by header must be the size that decoding gives, or boxes would be cut off at the wrong edge."""

import io

import numpy as np
import pytest
from PIL import Image

from sod.detections import Detections
from sod.frame import clip
from sod.image import decode_image, read_header


def encode(format_: str, orientation: int | None = None, mode: str = "RGB", exif: bytes | None = None) -> bytes:
    image = Image.new(mode, (64, 24), 100)
    buffer = io.BytesIO()
    if orientation is not None:
        tags = Image.Exif()
        tags[0x0112] = orientation
        exif = tags.tobytes()
    image.save(buffer, format_, **({} if exif is None else {"exif": exif}))
    return buffer.getvalue()


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("orientation", [None, *range(10)])
def test_shown_size_is_that_of_decoding(format_: str, orientation: int | None) -> None:
    image = encode(format_, orientation)
    height, width = decode_image(image).shape[:2]
    assert read_header(image).shown_size == (width, height)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # Pillow's, when it opens such a file
@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0MM\0*", b"Exif\0\0II*\0\xff\xff\xff\xff", b"nonsense"])
def test_damaged_exif(exif: bytes) -> None:
    image = encode("JPEG", exif=exif)
    height, width = decode_image(image).shape[:2]
    assert read_header(image).shown_size == (width, height)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_clip(count: int) -> None:
    boxes = np.tile(np.array([-5, 2, 70, 30.5], np.float32), (count, 1))
    found = Detections(boxes, np.ones(count, np.float32), np.zeros(count, np.int32))
    clipped = clip(found, 64, 24)
    assert clipped.boxes.dtype == np.float32
    assert clipped.boxes.tolist() == [[0, 2, 64, 24]] * count
    assert len(clipped) == count


def test_a_box_outside_of_the_image_is_left_out() -> None:
    boxes = np.array([[-9, 2, -1, 8], [70, 2, 80, 8], [2, -9, 8, 0], [2, 24, 8, 30], [60, 20, 70, 30]], np.float32)
    clipped = clip(Detections(boxes, np.ones(5, np.float32), np.arange(5, dtype=np.int32)), 64, 24)
    assert clipped.class_ids.tolist() == [4]
    assert clipped.boxes.tolist() == [[60, 20, 64, 24]]
