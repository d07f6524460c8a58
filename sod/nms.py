"""Turns raw detector output into detections: score threshold, greedy NMS, the best `keep_top_k` objects.

Per class, the result equals that of Paddle's `multiclass_nms3` operator (phi/kernels/cpu/multiclass_nms3_kernel.cc,
normalized, eta 1), also in its order and in edge cases: comparisons are strict, ties keep the order of the anchors, and
a pair of degenerate boxes whose IoU is 0/0 counts as overlapping.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sod.detections import Detections

# Boxes processed at a time: many enough for NumPy to be fast, few enough that all pairs of a dense crowd fit in memory.
_CHUNK = 512
_FAR = 1e7  # pixels; larger than any coordinate


@dataclass(frozen=True, slots=True)
class NmsConfig:
    """Parameters of Paddle's `multiclass_nms3`; the defaults are PP-YOLOE+ SOD's (configs/smalldet).

    `class_agnostic` is not in Paddle: boxes of different classes suppress each other too, so that an object has one
    class.
    """

    score_threshold: float = 0.01
    nms_top_k: int = 10_000
    keep_top_k: int = 500
    iou_threshold: float = 0.6
    class_agnostic: bool = False


def multiclass_nms(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    score_threshold: NDArray[np.float32],
    scale_factor: NDArray[np.float32] | None = None,
    config: NmsConfig | None = None,
) -> Detections:
    """Compute the detections of one image.

    In greedy NMS a lower score never suppresses a higher one. Filtering by the request's threshold before NMS therefore
    gives the same boxes as filtering after it, at a fraction of the cost. One result differs from Paddle's: if
    thresholds differ by class and there are more than `keep_top_k` objects, all returned objects exceed their
    threshold, whereas Paddle would first select `keep_top_k` objects of which some do not.

    Args:
        boxes: float32 [A, 4], xyxy in pixels of the detector's input.
        scores: float32 [C, A].
        score_threshold: float32 [C]; objects are kept if their score exceeds both this and the config's threshold.
            A threshold of 1 or more leaves the class out; it then suppresses nothing.
        scale_factor: float32 [2], (scale_y, scale_x); boxes are divided by it before NMS. None stands for (1, 1).
        config: NMS parameters; None for PP-YOLOE+ SOD's.
    """
    config = config or NmsConfig()
    threshold = np.maximum(score_threshold.astype(np.float32), np.float32(config.score_threshold))
    # flatnonzero is ten times as fast as nonzero on a matrix
    class_ids, anchors = np.divmod(np.flatnonzero(scores > threshold[:, None]), scores.shape[1])
    if not len(class_ids):
        return Detections.empty()
    candidate_scores = scores[class_ids, anchors]
    best_first = _top_of_each_class(np.argsort(-candidate_scores, kind="stable"), class_ids, config.nms_top_k)
    class_ids, candidate_scores, anchors = class_ids[best_first], candidate_scores[best_first], anchors[best_first]
    if config.class_agnostic and config.iou_threshold < 1:
        alone = _best_of_each_anchor(anchors, boxes)
        class_ids, candidate_scores, anchors = class_ids[alone], candidate_scores[alone], anchors[alone]
    candidate_boxes = boxes[anchors]
    if scale_factor is not None:
        candidate_boxes = candidate_boxes / scale_factor[[1, 0, 1, 0]]
    # All classes go through NMS together, best score first, so that the first `keep_top_k` kept are the best of all.
    groups = np.zeros_like(class_ids) if config.class_agnostic else class_ids
    kept = greedy_nms(candidate_boxes, groups, config.iou_threshold, config.keep_top_k)
    kept = kept[np.argsort(class_ids[kept], kind="stable")]
    return Detections(candidate_boxes[kept], candidate_scores[kept], class_ids[kept].astype(np.int32))


def greedy_nms(
    boxes: NDArray[np.float32], groups: NDArray[np.intp], iou_threshold: float, limit: int
) -> NDArray[np.intp]:
    """Indices of the boxes that no earlier kept box of their group overlaps by more than `iou_threshold`.

    Args:
        boxes: float32 [N, 4] xyxy, the best first.
        groups: intp [N]; boxes of different groups do not suppress each other.
        iou_threshold: compared as float32, strictly.
        limit: stop after this many.

    Returns:
        intp [K], ascending, K <= limit.
    """
    threshold = np.float32(iou_threshold)
    kept = np.zeros(0, np.intp)
    for start in range(0, len(boxes), _CHUNK):
        pool = np.concatenate([kept, np.arange(start, min(start + _CHUNK, len(boxes)))])
        better, worse = _overlapping_pairs(boxes[pool], groups[pool], threshold)
        alive = np.ones(len(pool), bool)
        starts = np.searchsorted(better, np.arange(len(pool) + 1))
        for row in np.flatnonzero(np.diff(starts)).tolist():
            if alive[row]:
                alive[worse[starts[row] : starts[row + 1]]] = False
        kept = pool[alive]
        if len(kept) >= limit:
            break
    return np.asarray(kept[:limit])


def _top_of_each_class(best_first: NDArray[np.intp], class_ids: NDArray[np.intp], limit: int) -> NDArray[np.intp]:
    """`best_first` with at most `limit` entries per class, the best ones."""
    if len(best_first) <= limit:
        return best_first
    own = class_ids[best_first]
    within = np.ones(len(best_first), bool)
    for class_id in np.flatnonzero(np.bincount(own) > limit):
        within[np.flatnonzero(own == class_id)[limit:]] = False
    return np.asarray(best_first[within])


def _best_of_each_anchor(anchors: NDArray[np.intp], boxes: NDArray[np.float32]) -> NDArray[np.intp]:
    """Indices of the candidates without those that one of the same anchor suppresses; the best come first.

    A box overlaps itself entirely, except for an inverted one. There are up to as many candidates as classes at each
    object, and all their pairs would be compared.
    """
    first = np.zeros(len(anchors), bool)
    first[np.unique(anchors, return_index=True)[1]] = True
    x1, y1, x2, y2 = boxes[anchors].T
    return np.flatnonzero(first | (x1 > x2) | (y1 > y2))


def _overlapping_pairs(
    boxes: NDArray[np.float32], groups: NDArray[np.intp], threshold: np.float32
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of boxes of one group whose IoU exceeds the threshold: indices of the better [P], ascending, and worse [P].

    Boxes are sorted by their left edge. Each is compared only with those that start before its right edge, which are
    few for small objects.
    """
    # Each group gets its own interval of the x axis. NaN coordinates may overlap anything: fmin and fmax ignore NaN.
    # Rounding keeps the order.
    offset = groups * (4.0 * _FAR)
    left = offset + np.fmin(np.fmax(boxes[:, 0], -_FAR), _FAR)
    right = offset + np.fmax(np.fmin(boxes[:, 2], _FAR), -_FAR)
    order = np.argsort(left, kind="stable")
    own = np.arange(len(order))
    counts = np.maximum(np.searchsorted(left[order], right[order], side="right") - own - 1, 0)
    x1, y1, x2, y2 = np.ascontiguousarray(boxes[order].T)
    second = np.arange(counts.sum()) + np.repeat(own + 1 - np.cumsum(counts) + counts, counts)
    apart = (np.repeat(y1, counts) > y2[second]) | (y1[second] > np.repeat(y2, counts))
    meet = np.flatnonzero(~apart)
    a, b = np.repeat(own, counts)[meet], second[meet]
    # The head's distances can be slightly negative. Paddle tests the corners for this, not the intersection.
    disjoint = (x1[b] > x2[a]) | (x2[b] < x1[a])
    intersection = (np.minimum(x2[a], x2[b]) - np.maximum(x1[a], x1[b])) * (
        np.minimum(y2[a], y2[b]) - np.maximum(y1[a], y1[b])
    )
    width, height = x2 - x1, y2 - y1
    areas = np.where((width < 0) | (height < 0), np.float32(0), width * height)
    with np.errstate(divide="ignore", invalid="ignore"):
        within = intersection / (areas[a] + areas[b] - intersection) <= threshold
    exceeds = np.flatnonzero(~(within | disjoint))  # 0/0 counts as exceeding, as in Paddle
    one, other = order[a[exceeds]], order[b[exceeds]]
    better, worse = np.minimum(one, other), np.maximum(one, other)
    by_better = np.argsort(better, kind="stable")
    return better[by_better], worse[by_better]
