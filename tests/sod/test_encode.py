import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sod.detections import Detections
from sod.drawing.overlay import draw_detections
from sod.drawing.palette import class_colour
from sod.encode import FORMATS, MAX_SIDE, ImageFormat, encode_image

MAGIC = {"jpeg": b"\xff\xd8\xff", "png": b"\x89PNG\r\n\x1a\n", "webp": b"RIFF"}
NOISE = np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)


def decode(encoded: bytes) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR), np.uint8)


@pytest.fixture(scope="module")
def drawn() -> NDArray[np.uint8]:
    found = Detections(
        np.array([[100, 80, 130, 110]], np.float32), np.array([0.5], np.float32), np.array([8], np.int32)
    )
    return draw_detections(np.full((203, 301, 3), 90, np.uint8), found, ["x"] * 9)


@pytest.mark.parametrize("image_format", FORMATS)
def test_size_kind_and_the_order_of_the_colours_are_kept(image_format: ImageFormat, drawn: NDArray[np.uint8]) -> None:
    encoded = encode_image(drawn, image_format)
    assert encoded.startswith(MAGIC[image_format])
    assert decode(encoded).shape == drawn.shape
    blue = np.full((20, 20, 3), (200, 60, 20), np.uint8)
    assert np.abs(decode(encode_image(blue, image_format)).astype(int) - blue).max() < 12


def test_jpeg_keeps_the_colour_of_one_pixel_lines(drawn: NDArray[np.uint8]) -> None:
    difference = np.abs(decode(encode_image(drawn))[82:108, 99].astype(int) - class_colour(8))
    assert difference.mean() < 12  # with halved chroma about 60


def test_png_loses_nothing(drawn: NDArray[np.uint8]) -> None:
    assert (decode(encode_image(drawn, "png", quality=1)) == drawn).all()


@pytest.mark.parametrize("image_format", ["jpeg", "webp"])
def test_a_lower_quality_makes_a_smaller_image(image_format: ImageFormat) -> None:
    worst, low, default, best = (len(encode_image(NOISE, image_format, q)) for q in (1, 50, 90, 100))
    assert worst < low < default < best


@pytest.mark.parametrize("image_format", FORMATS)
def test_what_a_format_cannot_hold_is_refused(image_format: ImageFormat) -> None:
    side = MAX_SIDE[image_format]
    assert encode_image(np.zeros((1, side, 3), np.uint8), image_format).startswith(MAGIC[image_format])
    for shape in ((0, 0, 3), (5, 0, 3), (1, side + 1, 3), (side + 1, 1, 3)):
        with pytest.raises(ValueError, match=image_format.upper()):
            encode_image(np.zeros(shape, np.uint8), image_format)
