"""Raw detector output → detections: threshold, per-class greedy NMS, the best `keep_top_k`.

The same boxes as Paddle's `multiclass_nms3` operator (phi/kernels/cpu/multiclass_nms3_kernel.cc, normalized, eta 1),
in its order. Its corners are kept: comparisons are strict, ties keep anchor order, a degenerate pair whose overlap
is 0/0 counts as overlapping.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sod.detections import Detections

# Boxes compared at a time: large enough for NumPy, small enough for the cache.
_CHUNK = 256


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
    """Detections of one picture.

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
    class_ids, anchors = np.nonzero(scores > threshold[:, None])
    if not len(class_ids):
        return Detections.empty()
    candidate_scores = scores[class_ids, anchors]
    candidate_boxes = boxes[anchors]
    if scale_factor is not None:
        candidate_boxes = candidate_boxes / scale_factor[[1, 0, 1, 0]]

    kept = []
    ends = np.searchsorted(class_ids, np.arange(len(scores) + 1))
    for start, end in pairwise(ends.tolist()):
        if start < end:
            order = start + np.argsort(-candidate_scores[start:end], kind="stable")[: config.nms_top_k]
            # No class can place more than keep_top_k in the result, so the search may stop there.
            kept.append(order[greedy_nms(candidate_boxes[order], config.iou_threshold, config.keep_top_k)])
    index = np.concatenate(kept)
    if len(index) > config.keep_top_k:
        best = np.argsort(-candidate_scores[index], kind="stable")[: config.keep_top_k]
        index = index[np.sort(best)]
    return Detections(candidate_boxes[index], candidate_scores[index], class_ids[index].astype(np.int32))


def greedy_nms(boxes: NDArray[np.float32], iou_threshold: float, limit: int) -> NDArray[np.intp]:
    """Indices of the boxes that no earlier kept box overlaps by more than `iou_threshold`.

    Args:
        boxes: float32 [N, 4] xyxy, the best first.
        iou_threshold: compared as float32, strictly.
        limit: stop after this many.

    Returns:
        intp [K], ascending, K <= limit.
    """
    threshold = np.float32(iou_threshold)
    kept = np.zeros(0, np.intp)
    for start in range(0, len(boxes), _CHUNK):
        chunk = np.arange(start, min(start + _CHUNK, len(boxes)))
        if len(kept):
            chunk = chunk[~_overlaps(boxes[chunk], boxes[kept], threshold).any(axis=1)]
        if len(chunk) > 1:
            suppresses = np.triu(_overlaps(boxes[chunk], boxes[chunk], threshold), 1)
            alive = np.ones(len(chunk), bool)
            for row in np.flatnonzero(suppresses.any(axis=1)):
                if alive[row]:
                    alive &= ~suppresses[row]
            chunk = chunk[alive]
        kept = np.concatenate([kept, chunk])
        if len(kept) >= limit:
            return kept[:limit]
    return kept


def _overlaps(a: NDArray[np.float32], b: NDArray[np.float32], threshold: np.float32) -> NDArray[np.bool_]:
    """Whether IoU exceeds the threshold, bool [len(a), len(b)]; 0/0 counts as exceeding, as in Paddle."""
    ax1, ay1, ax2, ay2 = (column[:, None] for column in a.T)
    bx1, by1, bx2, by2 = b.T
    width = np.minimum(ax2, bx2) - np.maximum(ax1, bx1)
    height = np.minimum(ay2, by2) - np.maximum(ay1, by1)
    if _has_inverted(a) or _has_inverted(b):
        # The head's distances can be slightly negative. Paddle asks this of the corners, not of the intersection.
        disjoint = (bx1 > ax2) | (bx2 < ax1) | (by1 > ay2) | (by2 < ay1)
    else:
        disjoint = (width < 0) | (height < 0)
    intersection = width * height
    union = _areas(a)[:, None] + _areas(b) - intersection
    with np.errstate(divide="ignore", invalid="ignore"):
        within = intersection / union <= threshold
    return np.asarray(~(within | disjoint), np.bool_)


def _has_inverted(boxes: NDArray[np.float32]) -> bool:
    return bool((boxes[:, 2:] < boxes[:, :2]).any())


def _areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Area of each box, float32 [N]; an inverted box has none."""
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    return np.where((width < 0) | (height < 0), np.float32(0), width * height)
