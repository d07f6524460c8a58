"""Merges the detections of slices: an object that several slices show is found once.

Source: greedy NMS and NMM (non-maximum merging) with IoU or IoS, as SAHI 0.12 computes them (sahi/postprocess), and
PaddleDetection's `combine_method`, `match_metric` and `match_threshold`. Here boxes are compared only with those near
them, and a box that the border of a slice cuts yields to one that holds the object whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

# Relative, because the Python client has these modules too, as links (docs/large-images.md).
from .detections import Detections
from .slicing import Slice

Combine = Literal["nms", "nmm", "none"]
MatchMetric = Literal["ios", "iou"]

_Boxes = NDArray[np.float32]
_Indices = NDArray[np.intp]
# Two parts of one object on both sides of a border: how far apart they may be, and how much of the shorter one's side
# along the border they must share.
PART_GAP_PX = 4.0
_PART_SHARE = 0.6
# NumPy sorts numbers below this by radix.
_RADIX = 2**16
# Neighbours that are looked at one by one, before the rest of a long row of boxes is looked for.
_MOST_STEPS = 16


@dataclass(frozen=True, slots=True)
class MergeOptions:
    """How detections are merged.

    Attributes:
        combine: `nms` keeps the best of boxes that match, `nmm` their common box, `none` all of them.
        metric: Intersection over the smaller box, or over the union.
        threshold: Boxes match if their metric is at least this, above 0 and up to 1.
        class_agnostic: Whether boxes of different classes can match too; the class of the best one stays.
    """

    combine: Combine = "nms"
    metric: MatchMetric = "ios"
    threshold: float = 0.6
    class_agnostic: bool = False


def merge(detections: Detections, options: MergeOptions, cut: NDArray[np.bool_] | None = None) -> Detections:
    """Merge detections that show the same object; the result does not depend on their order.

    Args:
        detections: In pixels of the source image, from all slices, in any order.
        options: How to merge.
        cut: bool [N, 4], the sides (left, top, right, bottom) that a slice's border cuts; None for no box. Boxes that
            are not cut come first, whatever their scores. Parts of an object that no slice holds whole are joined.

    Returns:
        Sorted as `Detections` are.
    """
    if options.combine == "none" or not len(detections):
        return _sorted(detections)
    if cut is not None:
        detections, cut = _join_parts(detections, cut, class_agnostic=options.class_agnostic)
    order = _ranking(detections, None if cut is None else cut.any(axis=1))
    # `take` gathers rows several times as fast as an index does.
    boxes, scores, class_ids = detections.boxes.take(order, 0), detections.scores[order], detections.class_ids[order]
    groups = np.zeros_like(class_ids) if options.class_agnostic else class_ids
    kept, boxes = _combine(boxes, groups, options)
    return _sorted(Detections(boxes.take(kept, 0), scores[kept], class_ids[kept]))


def merge_slices(
    found: Sequence[Detections], slices: Sequence[Slice], image_size: tuple[int, int], options: MergeOptions
) -> Detections:
    """Put the detections of an image's slices together.

    Args:
        found: Of each slice, boxes in pixels of the slice.
        slices: In the same order.
        image_size: (width, height) of the image.
        options: How to merge.

    Returns:
        Boxes in pixels of the image, sorted as `Detections` are.
    """
    boxes = [one.to_source(detections.boxes) for one, detections in zip(slices, found, strict=True)]
    moved = [replace(detections, boxes=inside) for detections, inside in zip(found, boxes, strict=True)]
    cut = [one.cut_sides(inside, image_size) for one, inside in zip(slices, boxes, strict=True)]
    return merge(Detections.joined(moved), options, np.concatenate(cut))


def _ranking(detections: Detections, is_cut: NDArray[np.bool_] | None) -> _Indices:
    """The best first. Ties are broken by the coordinates, as SAHI does, and then by class."""
    first = -detections.scores.astype(np.float64)
    return _order(first if is_cut is None else first + 2.0 * is_cut, detections)


def _sorted(detections: Detections) -> Detections:
    order = _order(2.0 * detections.class_ids - detections.scores, detections)
    return Detections(detections.boxes.take(order, 0), detections.scores[order], detections.class_ids[order])


def _order(key: NDArray[np.float64], detections: Detections) -> _Indices:
    """Indices by `key`, ascending, and among equal ones by coordinates and class: the same for any input order."""
    order = np.argsort(key)
    same = np.diff(key[order]) == 0
    if same.any():
        tied = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
        among = order[tied]
        x1, y1, x2, y2 = detections.boxes[among].T
        order[tied] = among[np.lexsort((detections.class_ids[among], y2, x2, y1, x1, key[among]))]
    return order


def _combine(boxes: _Boxes, groups: NDArray[np.int32], options: MergeOptions) -> tuple[_Indices, _Boxes]:
    """Greedy NMS or NMM of boxes that are sorted, the best first.

    Returns:
        Indices of the boxes that stay, ascending, and the boxes, changed where others were merged into them.
    """
    better, worse = near_pairs(boxes, groups)
    matches = _metric(boxes.take(better, 0), boxes.take(worse, 0), options.metric) >= np.float32(options.threshold)
    better, worse = better[matches], worse[matches]
    is_kept = _greedy(len(boxes), better, worse)
    if options.combine == "nmm":
        boxes = _merged_boxes(boxes, is_kept, better, worse, options)
    return np.flatnonzero(is_kept), boxes


def _greedy(count: int, better: _Indices, worse: _Indices) -> NDArray[np.bool_]:
    """Which boxes greedy suppression keeps, all at once: those without a better undecided match, round by round."""
    is_kept, undecided = np.zeros(count, np.bool_), np.ones(count, np.bool_)
    while len(better):
        has_better = np.zeros(count, np.bool_)
        has_better[worse] = True
        chosen = undecided & ~has_better
        is_kept |= chosen
        undecided &= ~chosen
        undecided[worse[chosen[better]]] = False
        open_pairs = undecided[better] & undecided[worse]
        better, worse = better[open_pairs], worse[open_pairs]
    return is_kept | undecided


def _merged_boxes(
    boxes: _Boxes, is_kept: NDArray[np.bool_], better: _Indices, worse: _Indices, options: MergeOptions
) -> _Boxes:
    """Each suppressed box goes to its best match that is kept, the best first, if it still matches the grown box."""
    owner = np.full(len(boxes), len(boxes), np.intp)
    of_kept = is_kept[better] & ~is_kept[worse]
    np.minimum.at(owner, worse[of_kept], better[of_kept])
    members = np.flatnonzero(owner < len(boxes))
    members = members[np.argsort(owner[members], kind="stable")]
    owners = owner[members]
    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    turn = np.arange(len(members)) - np.repeat(starts, np.diff(starts, append=len(members)))
    grown = boxes.copy()
    by_turn = np.argsort(turn, kind="stable")
    bounds = np.searchsorted(turn[by_turn], np.arange(turn.max(initial=-1) + 2))
    for first, last in pairwise(bounds):
        now = by_turn[first:last]
        target, added = owners[now], boxes[members[now]]
        fits = _metric(grown[target], added, options.metric) >= np.float32(options.threshold)
        target, added = target[fits], added[fits]
        grown[target] = _union(grown[target], added)
    return grown


def _join_parts(
    detections: Detections, cut: NDArray[np.bool_], *, class_agnostic: bool
) -> tuple[Detections, NDArray[np.bool_]]:
    """Join the parts of objects that are larger than the overlap of the slices, so that no slice holds them whole.

    This comes before the suppression, where a small part with a high score would remove a larger one, which alone
    touches the next part.

    Args:
        detections: In pixels of the source image.
        cut: bool [N, 4], the sides that a border cuts.
        class_agnostic: Whether parts of different classes are joined; the class of the best one stays.

    Returns:
        The detections and the sides that are cut, with one box for the parts of each object, that around them.
    """
    parts = np.flatnonzero(cut.any(axis=1))
    if len(parts) < 2:
        return detections, cut
    parts = parts[_ranking(detections.of(parts), None)]
    boxes, groups = detections.boxes[parts], detections.class_ids[parts]
    groups = np.zeros_like(groups) if class_agnostic else groups
    own = cut[parts]
    a, b = near_pairs(boxes + np.array([-1, -1, 1, 1], np.float32) * PART_GAP_PX, groups)
    across = _continues(boxes, own, a, b, axis=0) | _continues(boxes, own, b, a, axis=0)
    down = _continues(boxes, own, a, b, axis=1) | _continues(boxes, own, b, a, axis=1)
    pairs = across | down | _shows_more(boxes, own, a, b) | _shows_more(boxes, own, b, a)
    root = np.arange(len(parts))
    for one, other in zip(a[pairs].tolist(), b[pairs].tolist(), strict=True):
        first, second = sorted((_root(root, one), _root(root, other)))
        root[second] = first
    best = np.array([_root(root, index) for index in range(len(parts))], np.intp)
    if (best == np.arange(len(parts))).all():
        return detections, cut
    around, open_sides = boxes.copy(), own.copy()
    outermost_of: list[np.ufunc] = [np.minimum, np.minimum, np.maximum, np.maximum]
    for side, outermost in enumerate(outermost_of):
        outermost.at(around[:, side], best, boxes[:, side])
        # A side of the whole is cut if a border cuts the part that reaches there.
        outer = boxes[:, side] == around[best, side]
        open_sides[:, side] = False
        np.logical_or.at(open_sides[:, side], best[outer], own[outer, side])
    together, sides = detections.boxes.copy(), cut.copy()
    together[parts], sides[parts] = around, open_sides
    stay = np.ones(len(detections), np.bool_)
    stay[parts[best != np.arange(len(parts))]] = False
    return Detections(together, detections.scores, detections.class_ids).of(stay), sides[stay]


def _continues(boxes: _Boxes, cut: NDArray[np.bool_], a: _Indices, b: _Indices, axis: int) -> NDArray[np.bool_]:
    """Whether b goes on where the border has cut a, to the right of it (axis 0) or below it (axis 1); bool [P]."""
    other = 1 - axis
    shared = np.minimum(boxes[a, 2 + other], boxes[b, 2 + other]) - np.maximum(boxes[a, other], boxes[b, other])
    shorter = np.minimum(boxes[a, 2 + other] - boxes[a, other], boxes[b, 2 + other] - boxes[b, other])
    return np.asarray(
        cut[a, 2 + axis]
        & cut[b, axis]
        & (boxes[a, axis] < boxes[b, axis])
        & (boxes[a, 2 + axis] < boxes[b, 2 + axis])
        & (shared >= _PART_SHARE * shorter)
    )


def _shows_more(boxes: _Boxes, cut: NDArray[np.bool_], a: _Indices, b: _Indices) -> NDArray[np.bool_]:
    """Whether b is the same part of an object as a, and goes on where the border has cut a; bool [P]."""
    one, other = boxes[a], boxes[b]
    outwards = np.array([-1, -1, 1, 1], np.float32)
    beyond = (other - one) * outwards  # by how much each side of b lies outside of a
    inside = (beyond >= -PART_GAP_PX).all(axis=1)
    return np.asarray(inside & (cut[a] & (beyond > PART_GAP_PX)).any(axis=1))


def _root(root: _Indices, index: int) -> int:
    while root[index] != index:
        index = int(root[index])
    return index


def near_pairs(boxes: _Boxes, groups: NDArray[np.int32]) -> tuple[_Indices, _Indices]:
    """Pairs of boxes of one group whose rectangles touch: the better (lower) index and the worse one of each pair [P].

    The boxes are put into horizontal bands, as high as a box on average, and compared along x within each band. A pair
    that meets in several bands counts in the first of them.
    """
    x1, y1, x2, y2 = np.ascontiguousarray(boxes.T)
    by_x = np.argsort(x1)
    band = max(1.0, float(np.mean(y2 - y1)))
    first, last = (np.floor(y[by_x] / band).astype(np.int64) for y in (y1, y2))
    spans = np.maximum(last, first) - first + 1
    box = np.repeat(by_x, spans)
    below = np.arange(len(box)) - np.repeat(np.cumsum(spans) - spans, spans)  # bands under the first one of the box
    row = np.repeat(first - first.min(), spans) + below
    strip = (groups[box] - int(groups.min())) * (int(row.max()) + 1) + row  # a band of a group
    # The order along x stays within each strip. NumPy sorts 16 bits by radix, several times as fast.
    order = np.argsort(strip.astype(np.uint16) if strip.max() < _RADIX else strip, kind="stable")
    box, is_first, strip = box[order], below[order] == 0, strip[order]
    one, two = _overlapping(strip, x1[box], x2[box])
    once = is_first[one] | is_first[two]
    one, two = box[one[once]], box[two[once]]
    meet = np.minimum(y2[one], y2[two]) >= np.maximum(y1[one], y1[two])
    one, two = one[meet], two[meet]
    return np.minimum(one, two), np.maximum(one, two)


def _overlapping(strip: _Indices, left: NDArray[np.float32], right: NDArray[np.float32]) -> tuple[_Indices, _Indices]:
    """Pairs of intervals of one strip that overlap: indices of the earlier and of the later one [P].

    Args:
        strip: int64 [N], ascending.
        left: float32 [N], where the intervals begin, ascending within a strip.
        right: float32 [N], where they end.
    """
    ones, twos = [np.empty(0, np.intp)], [np.empty(0, np.intp)]
    one, step = np.arange(len(strip)), 0
    # Most intervals overlap few others: look at the next one, then at the one after it, and so on.
    while len(one) and step < _MOST_STEPS:
        step += 1
        one = one[: np.searchsorted(one, len(strip) - step)]
        two = one + step
        one = one[(strip[two] == strip[one]) & (left[two] <= right[one])]
        ones.append(one)
        twos.append(one + step)
    if len(one):
        # Every strip gets its own interval of one axis.
        offset = strip * (float(right.max() - left.min()) + 2.0) - float(left.min())
        ends = np.searchsorted(offset + left, offset[one] + right[one], side="right")
        counts = np.maximum(ends - one - step - 1, 0)
        ones.append(np.repeat(one, counts))
        twos.append(ones[-1] + step + 1 + np.arange(len(ones[-1])) - np.repeat(np.cumsum(counts) - counts, counts))
    return np.concatenate(ones), np.concatenate(twos)


def _metric(a: _Boxes, b: _Boxes, metric: MatchMetric) -> NDArray[np.float32]:
    """IoS or IoU of pairs of boxes, float32 [P]; 0 where the area is 0."""
    width = np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0])
    height = np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1])
    intersection = np.maximum(width, 0) * np.maximum(height, 0)
    area_a, area_b = ((one[:, 2] - one[:, 0]) * (one[:, 3] - one[:, 1]) for one in (a, b))
    whole = np.minimum(area_a, area_b) if metric == "ios" else area_a + area_b - intersection
    return np.asarray(np.divide(intersection, whole, out=np.zeros_like(intersection), where=whole > 0))


def _union(a: _Boxes, b: _Boxes) -> _Boxes:
    return np.concatenate([np.minimum(a[..., :2], b[..., :2]), np.maximum(a[..., 2:], b[..., 2:])], axis=-1)
