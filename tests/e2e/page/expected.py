"""What the page must show for a response of the API."""

from typing import Any

import cv2
import numpy as np

from sod.drawing.palette import class_colour
from sod.image import decode_image
from tests.e2e.page.browser import DemoPage

FLOOR = 0.05
TIMES = "\N{MULTIPLICATION SIGN}"


def above(objects: list[dict[str, Any]], score: float) -> list[dict[str, Any]]:
    return [one for one in objects if one["score"] > np.float32(score)]


def cells(one: dict[str, Any]) -> list[str]:
    left, top, right, bottom = one["bbox"]
    size = [half_up(side) for side in (right - left, bottom - top)]
    return [one["categoryName"], f"{one['score']:.2f}", f"{size[0]} {TIMES} {size[1]}"]


def half_up(value: float) -> int:
    """Round half up, as JavaScript does."""
    return int(np.floor(value + 0.5))


def rgb(class_id: int) -> tuple[int, int, int]:
    blue, green, red = class_colour(class_id)
    return red, green, blue


def assert_box_is_drawn(page: DemoPage, one: dict[str, Any], width: int, height: int) -> None:
    """The outline of an object has the colour of its class. The whole image must be visible.

    It holds for the object with the best score, which is drawn last and covered by no other.
    """
    scale, x, y = page.whole_view(width, height)
    left, top, right, bottom = one["bbox"]
    x0, x1 = (half_up(side * scale + x) for side in (left, right))
    y0, y1 = (half_up(side * scale + y) for side in (top, bottom))
    pixels = page.pixels()[..., :3].astype(int)
    line = [pixels[row, x0:x1] for row in (y0 - 1, y1) if 0 <= row < len(pixels)]
    line += [pixels[y0:y1, column] for column in (x0 - 1, x1) if 0 <= column < pixels.shape[1]]
    points = np.concatenate(line)
    assert len(line) >= 2
    assert (points == rgb(one["categoryId"])).all(axis=1).mean() > 0.9, one


def size_of(image: bytes) -> tuple[int, int]:
    height, width = decode_image(image).shape[:2]
    return width, height


def noise(width: int = 200, height: int = 120) -> tuple[bytes, Any]:
    """A PNG of random pixels, and its pixels as uint8 RGB [height, width, 3]."""
    pixels = np.random.default_rng(5).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.imencode(".png", pixels[..., ::-1])[1].tobytes(), pixels
