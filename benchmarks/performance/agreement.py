"""Whether two lists of objects say the same."""

import numpy as np
from numpy.typing import NDArray

from sod.detections import Detections

MATCH_IOU = 0.5
# Boxes thinner than a pixel, which untrained heads give, have no overlap to speak of.
_MIN_SIDE = 1.0


def matched(one: Detections, other: Detections) -> float:
    """Share of both sides' objects that the other has too: the same class, IoU 0.5 or more; 1 if there is none."""
    one, other = _with_area(one), _with_area(other)
    total = len(one) + len(other)
    if not total:
        return 1.0
    overlaps = np.where(one.class_ids[:, None] == other.class_ids, _iou(one.boxes, other.boxes), 0.0)
    pairs = 0
    for row in np.argsort(-one.scores, kind="stable"):
        best = int(overlaps[row].argmax()) if overlaps.shape[1] else -1
        if best >= 0 and overlaps[row, best] >= MATCH_IOU:
            overlaps[:, best] = 0
            pairs += 1
    return 2 * pairs / total


def _with_area(objects: Detections) -> Detections:
    kept = (objects.boxes[:, 2:] - objects.boxes[:, :2]).min(axis=1, initial=np.inf) >= _MIN_SIDE
    return Detections(objects.boxes[kept], objects.scores[kept], objects.class_ids[kept])


def _iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """[len(a), len(b)] of xyxy boxes."""
    left, right = np.maximum(a[:, None, :2], b[:, :2]), np.minimum(a[:, None, 2:], b[:, 2:])
    shared = np.clip(right - left, 0, None).astype(np.float64).prod(axis=2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).astype(np.float64).prod(axis=1) for boxes in (a, b)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1] - shared, 1e-9))
