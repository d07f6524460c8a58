import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sod.encode import encode_image
from sod.image import decode_image
from sod.jpeg_strips import join, split

BASE = np.random.default_rng(0).integers(0, 256, (96, 120, 3), np.uint8)


def image(height: int, width: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(BASE, (width, height)), np.uint8)


def encoded(height: int, width: int, *, quality: int = 90) -> bytes:
    return encode_image(image(height, width), quality=quality)


@pytest.mark.parametrize(
    ("height", "width", "count", "strips"),
    [
        (765, 1360, 1, 1),
        (765, 1360, 2, 2),
        (765, 1360, 64, 4),  # no strips that are too small to pay
        (300, 400, 8, 1),
        (1533, 2050, 12, 12),
        (9, 65_500, 2, 2),
        (200, 65_500, 2, 4),  # a restart interval ends after 8 rows of blocks
        (4000, 700, 11, 11),  # the markers' numbers begin anew
    ],
)
def test_strips_are_the_image_as_it_would_be_in_one(height: int, width: int, count: int, strips: int) -> None:
    pixels = image(height, width)
    parts = split(pixels, count)
    assert len(parts) == strips
    assert (np.concatenate(parts) == pixels).all()
    joined = join([encode_image(part) for part in parts])
    assert (decode_image(joined) == decode_image(encode_image(pixels))).all()


def test_what_is_no_strip_of_the_image_is_refused() -> None:
    whole = encoded(64, 64)
    _, halved = cv2.imencode(".jpg", image(64, 64), [cv2.IMWRITE_JPEG_QUALITY, 90])
    _, restarting = cv2.imencode(".jpg", image(64, 64), [cv2.IMWRITE_JPEG_RST_INTERVAL, 4])
    _, progressive = cv2.imencode(".jpg", image(64, 64), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    for message, strips in (
        ("different ways", [whole, encoded(64, 64, quality=80)]),
        ("differ in width", [whole, encoded(64, 72)]),
        ("one height", [whole, encoded(32, 64), whole]),
        ("multiple of 8", [encoded(60, 64), encoded(60, 64)]),
        ("subsampled", [halved.tobytes()] * 2),
        ("not a baseline", [restarting.tobytes()] * 2),
        ("not a baseline", [progressive.tobytes()] * 2),
        ("not a baseline", [whole[:-2]] * 2),
        ("cannot hold", [encoded(40_000, 64)] * 2),
    ):
        with pytest.raises(ValueError, match=message):
            join(strips)
