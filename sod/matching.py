"""Matches the objects of two detectors on one image: the same class, and boxes that overlap.

Greedy one-to-one matching as in the PASCAL VOC and COCO evaluations: detections choose in order of descending score,
and each candidate is taken at most once.
"""

import numpy as np
from numpy.typing import NDArray

from sod.detections import Detections

MIN_IOU = 0.5
MIN_SIDE = 1.0  # pixels; the IoU of thinner boxes, which untrained heads produce, says nothing


def box_iou(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    """Intersection over union of every pair of boxes.

    Args:
        boxes: float32 [M, 4], xyxy.
        others: float32 [N, 4], xyxy.

    Returns:
        float64 [M, N], 0..1; 0 for boxes without an area, inverted ones included.
    """
    top_left = np.maximum(boxes[:, None, :2], others[:, :2])
    bottom_right = np.minimum(boxes[:, None, 2:], others[:, 2:])
    intersection = np.clip(bottom_right - top_left, 0, None).astype(np.float64).prod(axis=2)
    area, other_area = (
        np.clip(corners[:, 2:] - corners[:, :2], 0, None).astype(np.float64).prod(axis=1) for corners in (boxes, others)
    )
    return np.asarray(intersection / np.maximum(area[:, None] + other_area - intersection, 1e-9))


def count_matches(detections: Detections, candidates: Detections, min_iou: float = MIN_IOU) -> int:
    """How many detections have a candidate of the same class with an IoU of at least `min_iou`.

    Args:
        detections: the objects to find, M of them; those with the highest scores choose first.
        candidates: the objects to choose from, N of them; each is taken at most once.
        min_iou: the smallest overlap of a match, over 0.
    """
    if not len(detections) or not len(candidates):
        return 0
    same_class = detections.class_ids[:, None] == candidates.class_ids
    overlaps = np.where(same_class, box_iou(detections.boxes, candidates.boxes), 0.0)
    matches = 0
    for row in np.argsort(-detections.scores, kind="stable"):
        best = int(overlaps[row].argmax())
        if overlaps[row, best] >= min_iou:
            overlaps[:, best] = 0
            matches += 1
    return matches


def count_shared(one: Detections, other: Detections, threshold: float = 0.0) -> tuple[int, int]:
    """How many objects over the threshold the two sides have in common, counted from both sides.

    An object over the threshold may match one below it: a rounding error that moves a score across the threshold does
    not make another object of it. Boxes thinner than `MIN_SIDE` are ignored.

    Args:
        one: the objects of one detector, also those somewhat below the threshold.
        other: the objects of the other, likewise.
        threshold: an object counts if its score is greater.

    Returns:
        The objects over the threshold that have a match on the other side, and all objects over the threshold; both
        are sums over the two sides.
    """
    one, other = drop_thin(one), drop_thin(other)
    ones, others = over(one, threshold), over(other, threshold)
    return count_matches(ones, other) + count_matches(others, one), len(ones) + len(others)


def matched_share(one: Detections, other: Detections, threshold: float = 0.0) -> float:
    """The share of both sides' objects over the threshold that the other side has too; see `count_shared`.

    Returns:
        0..1; 1 if neither side has an object over the threshold.
    """
    matched, total = count_shared(one, other, threshold)
    return matched / total if total else 1.0


def over(detections: Detections, threshold: float) -> Detections:
    """The detections whose score is greater than the threshold, in the same order."""
    return _select(detections, detections.scores > threshold)


def drop_thin(detections: Detections) -> Detections:
    """The detections whose boxes are at least `MIN_SIDE` pixels wide and high, in the same order."""
    sides = (detections.boxes[:, 2:] - detections.boxes[:, :2]).min(axis=1, initial=np.inf)
    return _select(detections, sides >= MIN_SIDE)


def _select(detections: Detections, mask: NDArray[np.bool_]) -> Detections:
    return Detections(detections.boxes[mask], detections.scores[mask], detections.class_ids[mask])
