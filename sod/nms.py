"""Raw detector output → detections: threshold, per-class greedy NMS, the best `keep_top_k`.

The same boxes as Paddle's `multiclass_nms3` operator (phi/kernels/cpu/multiclass_nms3_kernel.cc, normalized, eta 1),
in its order. Its corners are kept: comparisons are strict, ties keep anchor order, a degenerate pair whose overlap
is 0/0 counts as overlapping.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sod.detections import Detections

# Boxes taken on at a time: large enough for NumPy, and the pairs of a crowd on one spot still fit in memory.
_CHUNK = 512
_FAR = 1e7  # pixels; farther than any box


@dataclass(frozen=True, slots=True)
class NmsConfig:
    """Parameters of Paddle's `multiclass_nms3`; the defaults are PP-YOLOE+ SOD's (configs/smalldet)."""

    score_threshold: float = 0.01
    nms_top_k: int = 10_000
    keep_top_k: int = 500
    iou_threshold: float = 0.6


def multiclass_nms(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    score_threshold: NDArray[np.float32],
    scale_factor: NDArray[np.float32] | None = None,
    config: NmsConfig | None = None,
) -> Detections:
    """Detections of one image.

    Greedy NMS never lets a lower score suppress a higher one, so filtering by the request's threshold first gives the
    boxes that filtering last would, for a fraction of the work. With thresholds that differ by class and more than
    `keep_top_k` objects the places go to objects that were asked for, where Paddle would spend them on others.

    Args:
        boxes: float32 [A, 4], xyxy in the detector's pixels.
        scores: float32 [C, A].
        score_threshold: float32 [C]; an object is kept if its score is greater than this and than the config's.
        scale_factor: float32 [2], (scale_y, scale_x), by which boxes are divided before NMS; None for ones.
        config: NMS parameters; None for PP-YOLOE+ SOD's.
    """
    config = config or NmsConfig()
    threshold = np.maximum(score_threshold.astype(np.float32), np.float32(config.score_threshold))
    # flatnonzero is ten times as fast as nonzero of two axes
    class_ids, anchors = np.divmod(np.flatnonzero(scores > threshold[:, None]), scores.shape[1])
    if not len(class_ids):
        return Detections.empty()
    candidate_scores = scores[class_ids, anchors]
    best_first = _top_of_each_class(np.argsort(-candidate_scores, kind="stable"), class_ids, config.nms_top_k)
    class_ids, candidate_scores, anchors = class_ids[best_first], candidate_scores[best_first], anchors[best_first]
    candidate_boxes = boxes[anchors]
    if scale_factor is not None:
        candidate_boxes = candidate_boxes / scale_factor[[1, 0, 1, 0]]
    # All classes at once: the first of all that stay are the best of those that would stay of each.
    kept = greedy_nms(candidate_boxes, class_ids, config.iou_threshold, config.keep_top_k)
    kept = kept[np.argsort(class_ids[kept], kind="stable")]
    return Detections(candidate_boxes[kept], candidate_scores[kept], class_ids[kept].astype(np.int32))


def greedy_nms(
    boxes: NDArray[np.float32], class_ids: NDArray[np.intp], iou_threshold: float, limit: int
) -> NDArray[np.intp]:
    """Indices of the boxes that no earlier kept box of their class overlaps by more than `iou_threshold`.

    Args:
        boxes: float32 [N, 4] xyxy, the best first.
        class_ids: intp [N].
        iou_threshold: compared as float32, strictly.
        limit: stop after this many.

    Returns:
        intp [K], ascending, K <= limit.
    """
    threshold = np.float32(iou_threshold)
    kept = np.zeros(0, np.intp)
    for start in range(0, len(boxes), _CHUNK):
        pool = np.concatenate([kept, np.arange(start, min(start + _CHUNK, len(boxes)))])
        better, worse = _overlapping_pairs(boxes[pool], class_ids[pool], threshold)
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
    """`best_first` without those that have `limit` better ones of their class."""
    if len(best_first) <= limit:
        return best_first
    own = class_ids[best_first]
    within = np.ones(len(best_first), bool)
    for class_id in np.flatnonzero(np.bincount(own) > limit):
        within[np.flatnonzero(own == class_id)[limit:]] = False
    return np.asarray(best_first[within])


def _overlapping_pairs(
    boxes: NDArray[np.float32], class_ids: NDArray[np.intp], threshold: np.float32
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of a class whose IoU exceeds the threshold: indices of the earlier [P], ascending, and the later [P].

    Sorted by their left edges, a box can only meet those that begin before it ends: of small objects few.
    """
    # A stretch of the axis for each class. Not-a-numbers may meet anything; rounding keeps the order.
    offset = class_ids * (4.0 * _FAR)
    left = offset + np.clip(np.nan_to_num(boxes[:, 0], nan=-_FAR), -_FAR, _FAR)
    right = offset + np.clip(np.nan_to_num(boxes[:, 2], nan=_FAR), -_FAR, _FAR)
    order = np.argsort(left, kind="stable")
    own = np.arange(len(order))
    counts = np.maximum(np.searchsorted(left[order], right[order], side="right") - own - 1, 0)
    first = np.repeat(own, counts)
    second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
    first, second = order[first], order[second]
    apart = (boxes[first, 1] > boxes[second, 3]) | (boxes[second, 1] > boxes[first, 3])
    first, second = first[~apart], second[~apart]
    exceeds = _overlap(boxes[first], boxes[second], threshold)
    better = np.minimum(first, second)[exceeds]
    worse = np.maximum(first, second)[exceeds]
    by_better = np.argsort(better, kind="stable")
    return better[by_better], worse[by_better]


def _overlap(a: NDArray[np.float32], b: NDArray[np.float32], threshold: np.float32) -> NDArray[np.bool_]:
    """Whether IoU exceeds the threshold, bool [P], for boxes [P, 4] each; 0/0 counts as exceeding, as in Paddle."""
    ax1, ay1, ax2, ay2 = a.T
    bx1, by1, bx2, by2 = b.T
    # The head's distances can be slightly negative. Paddle asks this of the corners, not of the intersection.
    disjoint = (bx1 > ax2) | (bx2 < ax1) | (by1 > ay2) | (by2 < ay1)
    intersection = (np.minimum(ax2, bx2) - np.maximum(ax1, bx1)) * (np.minimum(ay2, by2) - np.maximum(ay1, by1))
    union = _areas(a) + _areas(b) - intersection
    with np.errstate(divide="ignore", invalid="ignore"):
        within = intersection / union <= threshold
    return np.asarray(~(within | disjoint), np.bool_)


def _areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Area of each box, float32 [N]; an inverted box has none."""
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    return np.where((width < 0) | (height < 0), np.float32(0), width * height)
