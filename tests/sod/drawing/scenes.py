"""Helpers for the tests of drawing: uniform images, detections, and finding text in a drawn image."""

import cv2
import numpy as np
from numpy.typing import NDArray

from sod.detections import Detections
from sod.drawing import fonts, label_placement
from sod.drawing import overlay as draw
from sod.drawing.fonts import text_mask

LABELS = ["pedestrian", "people", "bicycle", "car", "van", "truck", "tricycle", "awning-tricycle", "bus", "motorcycle"]
GREY = 90
_FONT_SIZES = range(8, 26)

Pixels = NDArray[np.uint8]
Rect = tuple[int, int, int, int]


def image(width: int, height: int) -> Pixels:
    return np.full((height, width, 3), GREY, np.uint8)


def detections(
    boxes: list[list[float]], class_ids: list[int] | None = None, scores: list[float] | None = None
) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array([0.5] * count if scores is None else scores, np.float32),
        np.array([0] * count if class_ids is None else class_ids, np.int32),
    )


def crowd(count: int, x: int, y: int, width: int, height: int) -> list[list[float]]:
    """Boxes of 8 by 8 px in rows, three pixels apart: there is no room for a label between them."""
    columns, rows = width // 11, height // 11
    boxes = [[x + 11 * c, y + 11 * r, x + 11 * c + 8, y + 11 * r + 8] for r in range(rows) for c in range(columns)]
    return [[float(edge) for edge in box] for box in boxes[:count]]


def find_text(drawn: Pixels, text: str) -> list[Rect]:
    """Where the text is written, in any size and with any two colours: x0, y0, x1, y1."""
    grey = drawn.astype(np.float32).sum(2)
    places: list[Rect] = []
    for size in _FONT_SIZES:
        mask = text_mask(text, size).astype(np.float32)
        h, w = mask.shape
        if h > grey.shape[0] or w > grey.shape[1]:
            continue
        # Text is a blend of two colours, so its correlation with the mask is 1, or -1 for dark text.
        correlation = np.abs(cv2.matchTemplate(grey, mask, cv2.TM_CCOEFF_NORMED))
        for y, x in np.argwhere(correlation > 0.99).tolist():
            if np.ptp(grey[y : y + h, x : x + w]) > 100:
                places.append((x, y, x + w, y + h))
    return places


def changed(drawn: Pixels) -> NDArray[np.bool_]:
    return np.asarray((drawn != GREY).any(axis=2))


def legend(drawn: Pixels) -> Rect | None:
    """The panel of a legend on a grey image: the extent of the most frequent darker grey, if it is a panel's size."""
    is_grey = (drawn == drawn[:, :, :1]).all(axis=2) & (drawn[:, :, 0] > 0) & (drawn[:, :, 0] < GREY)
    values, counts = np.unique(drawn[:, :, 0][is_grey], return_counts=True)
    if not len(counts) or counts.max() < 150:
        return None
    rows, columns = np.nonzero(is_grey & (drawn[:, :, 0] == values[counts.argmax()]))
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def clear_caches() -> None:
    """Empty all caches of the modules that draw."""
    for module in (draw, fonts, label_placement):
        for value in vars(module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()
