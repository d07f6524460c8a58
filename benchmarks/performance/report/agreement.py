"""Whether two lists of objects say the same."""

import numpy as np
from numpy.typing import NDArray

from sod.detections import Detections

MATCH_IOU = 0.5
# Boxes thinner than a pixel, which untrained heads give, have no overlap to speak of.
_MIN_SIDE = 1.0


def matched(one: Detections, other: Detections, threshold: float = 0.0) -> float:
    """Share of both sides' objects that the other side has too: the same class, IoU 0.5 or more.

    Args:
        one: with scores from half the threshold on, or less.
        other: likewise.
        threshold: objects over it must have a partner, which may be one below: a rounding that takes an object across
            the threshold makes no other object of it.

    Returns:
        0..1; 1 if neither side has one.
    """
    one, other = _with_area(one), _with_area(other)
    wanted, given = _over(one, threshold), _over(other, threshold)
    total = len(wanted) + len(given)
    return (_found(wanted, other) + _found(given, one)) / total if total else 1.0


def _found(objects: Detections, among: Detections) -> int:
    """How many have a partner, each partner taken once; the best scores choose first."""
    if not len(objects) or not len(among):
        return 0
    overlaps = np.where(objects.class_ids[:, None] == among.class_ids, _iou(objects.boxes, among.boxes), 0.0)
    found = 0
    for row in np.argsort(-objects.scores, kind="stable"):
        best = int(overlaps[row].argmax())
        if overlaps[row, best] >= MATCH_IOU:
            overlaps[:, best] = 0
            found += 1
    return found


def _over(objects: Detections, threshold: float) -> Detections:
    return _kept(objects, objects.scores > threshold)


def _with_area(objects: Detections) -> Detections:
    return _kept(objects, (objects.boxes[:, 2:] - objects.boxes[:, :2]).min(axis=1, initial=np.inf) >= _MIN_SIDE)


def _kept(objects: Detections, kept: NDArray[np.bool_]) -> Detections:
    return Detections(objects.boxes[kept], objects.scores[kept], objects.class_ids[kept])


def _iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """[len(a), len(b)] of xyxy boxes."""
    left, right = np.maximum(a[:, None, :2], b[:, :2]), np.minimum(a[:, None, 2:], b[:, 2:])
    shared = np.clip(right - left, 0, None).astype(np.float64).prod(axis=2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).astype(np.float64).prod(axis=1) for boxes in (a, b)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1] - shared, 1e-9))
