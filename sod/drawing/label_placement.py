"""Finds places for labels around boxes, so that no label covers a box or another label.

Rectangles are int32, x0, y0, x1, y1 in pixels with the ends excluded. An outline is the outer edge of the line around
an object.
"""

from itertools import pairwise
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Rect = list[int]
_Scalar = TypeVar("_Scalar", bound=np.generic)

_MIN_AREA_RATIO = 16  # a label may lie inside its own box if the box has this many times its area


class Placement(NamedTuple):
    """Where a label goes, and the leader line to its box, which is empty where the label touches the box."""

    label: Rect
    leader: Rect


class _Positions(NamedTuple):
    """The candidate positions around a box, C of them, the preferred ones first."""

    above: NDArray[np.bool_]  # [C]
    beside: NDArray[np.bool_]  # [C]; a position that is neither above nor beside is below
    right: NDArray[np.bool_]  # [C], of those beside
    distance: NDArray[np.float64]  # [C], from the box, in heights of the label
    slide: NDArray[np.float64]  # [C], along the box's edge: 0 is flush with one end, 1 with the other
    margin: Ints  # [4, C], what to add to a label's edges for the distance that it keeps from other things

    @classmethod
    def all(cls) -> "_Positions":
        sides, distances, slides = zip(
            *(
                (side, distance, slide)
                for distance, vertical, horizontal in (
                    (0, (0, 1, 0.5, 0.25, 0.75), (0, 1, 0.5)),
                    (0.6, (0, 1, 0.5), (0.5,)),
                    (1.2, (0, 1, 0.5), (0.5,)),
                    (2.2, (0, 1, 0.5), (0.5,)),
                )
                for pair, along in (("ab", vertical), ("rl", horizontal))
                for slide in along
                for side in pair
            ),
            strict=True,
        )
        above, below, right, left = (np.array([side == one for side in sides]) for one in "abrl")
        distance = np.array(distances, np.float64)
        apart = (distance > 0).astype(np.int32)  # a label may touch no box but its own
        margin = [
            np.where(right, -apart, -1),
            np.where(below, -apart, -1),
            np.where(left, apart, 1),
            np.where(above, apart, 1),
        ]
        return cls(above, right | left, right, distance, np.array(slides, np.float64), np.array(margin, np.int32))


_POSITIONS = _Positions.all()


def place_around(outlines: Ints, sizes: Ints, width: int, height: int, cell: int = 1) -> list[Placement | None]:
    """Place each label outside all boxes, where it covers no box and no other label.

    Args:
        outlines: [K, 4]; the first one chooses first.
        sizes: [K, 2], width and height of each label, multiples of `cell`.
        width: of the image in pixels.
        height: of the image in pixels.
        cell: labels are placed on a grid with cells of this many pixels, which bounds the work on large images.

    Returns:
        A placement for each label, or None where there is no free place.
    """
    cells = np.concatenate((outlines[:, :2] // cell, -(-outlines[:, 2:] // cell)), axis=1)
    occupied = np.zeros((-(-height // cell), -(-width // cell)), np.uint8)
    for x0, y0, x1, y1 in cells.tolist():
        occupied[y0:y1, x0:x1] = 1

    # First discard, for all candidates at once, those that leave the image or meet a box: no label changes that.
    labels, leaders = (edges.reshape(4, -1) for edges in _candidates(cells, sizes // cell))
    per_box = len(_POSITIONS.slide)
    limit_x, limit_y = width // cell, height // cell
    x0, y0, x1, y1 = labels
    left = np.flatnonzero((x0 >= 0) & (y0 >= 0) & (x1 <= limit_x) & (y1 <= limit_y))
    # `take` keeps the rows contiguous, which indexing does not, and the following lines work on rows.
    claims = labels.take(left, 1) + _POSITIONS.margin.take(left % per_box, 1)
    np.maximum(claims[:2], 0, out=claims[:2])
    np.minimum(claims[2], limit_x, out=claims[2])
    np.minimum(claims[3], limit_y, out=claims[3])
    integral = cv2.integral(occupied).astype(np.int32, copy=False)
    clear = _sums(integral, claims) == 0
    left, claims = left[clear], claims.compress(clear, 1)
    clear = _sums(integral, leaders.take(left, 1)) == 0
    left, claims = left[clear], claims.compress(clear, 1)

    # Then give each label its first remaining candidate that meets no label placed before it.
    placements: list[Placement | None] = [None] * len(sizes)
    taken = np.zeros(occupied.shape, np.bool_)
    starts = np.searchsorted(left, per_box * np.arange(len(sizes) + 1)).tolist()
    for owner, (start, end) in enumerate(pairwise(starts)):
        for index in range(start, end):
            leader = leaders[:, left[index]].tolist()
            # count_nonzero is five times as fast as any() here
            if not np.count_nonzero(region(taken, claims[:, index].tolist())) and not np.count_nonzero(
                region(taken, leader)
            ):
                label = labels[:, left[index]].tolist()
                region(taken, label)[:] = True
                region(taken, leader)[:] = True
                placements[owner] = Placement([cell * edge for edge in label], [cell * edge for edge in leader])
                break
    return placements


def place_inside(outlines: Ints, sizes: Ints, placements: list[Placement | None], line: int) -> None:
    """Place labels that have no place yet in a corner of their own box.

    The box must have 16 times the label's area, and the label must lie on no other box and no other label.

    Args:
        outlines: [K, 4].
        sizes: [K, 2], width and height of each label.
        placements: K of them; changed in place.
        line: width of the line around a box in pixels.
    """
    taken = as_rects([placement.label for placement in placements if placement is not None])
    for index, (x0, y0, x1, y1) in enumerate(outlines.tolist()):
        if placements[index] is not None:
            continue
        width, height = sizes[index].tolist()
        left, top, right, bottom = x0 + line, y0 + line, x1 - line - width, y1 - line - height
        if (x1 - x0) * (y1 - y0) < _MIN_AREA_RATIO * width * height or right < left or bottom < top:
            continue
        corners = ((left, top), (right, top), (left, bottom), (right, bottom))
        candidates = as_rects([[x, y, x + width, y + height] for x, y in corners])
        # Each candidate overlaps the box that it belongs to, and may overlap no other.
        free = (overlaps(candidates, outlines).sum(1) == 1) & ~overlaps(candidates, taken).any(1)
        if free.any():
            best = int(free.argmax())
            x, y = corners[best]
            placements[index] = Placement(candidates[best].tolist(), [x, y, x, y])
            taken = np.concatenate((taken, candidates[best : best + 1]))


def as_rects(rects: list[Rect]) -> Ints:
    """Rectangles as an array [N, 4], also if there are none."""
    return np.array(rects, np.int32).reshape(-1, 4)


def overlaps(rects: Ints, others: Ints) -> NDArray[np.bool_]:
    """Whether rects [N, 4] share pixels with others [M, 4], bool [N, M]."""
    x0, y0, x1, y1 = rects.T[:, :, None]
    u0, v0, u1, v1 = others.T[:, None, :]
    overlap: NDArray[np.bool_] = (x0 < u1) & (u0 < x1) & (y0 < v1) & (v0 < y1)
    return overlap


def region(array: NDArray[_Scalar], rect: Rect) -> NDArray[_Scalar]:
    """A view of the part of an array [H, W, ...] within a rectangle."""
    x0, y0, x1, y1 = rect
    return array[y0:y1, x0:x1]


def _candidates(cells: Ints, sizes: Ints) -> tuple[Ints, Ints]:
    """All candidate positions around boxes [K, 4] of labels with sizes [K, 2] (width, height), in cells.

    Returns:
        The rectangles of the labels and of their leader lines, int32 [4, K, C] each, the preferred positions first.
    """
    x0, y0, x1, y1 = cells.T[:, :, None]
    w, h = sizes.T[:, :, None]
    above, beside, right, distance, slide, _ = _POSITIONS
    gap, apart = (distance * h).astype(np.int32), distance > 0
    where = np.where

    left = where(beside, where(right, x1 + gap, x0 - w - gap), x0 + (slide * (x1 - w - x0)).astype(np.int32))
    top = where(beside, y0 + (slide * (y1 - h - y0)).astype(np.int32), where(above, y0 - h - gap, y1 + gap))
    middle_x = (np.maximum(left, x0) + np.minimum(left + w, x1)) // 2
    middle_y = (np.maximum(top, y0) + np.minimum(top + h, y1)) // 2
    leader = (
        where(beside, where(right, x1, x0 - gap), middle_x),
        where(beside, middle_y, where(above, y0 - gap, y1)),
        where(beside, where(right, x1 + gap, x0), middle_x + apart),
        where(beside, middle_y + apart, where(above, y0, y1 + gap)),
    )
    return np.array((left, top, left + w, top + h), np.int32), np.array(leader, np.int32)


def _sums(integral: Ints, rects: Ints) -> Ints:
    """Sums [N] over rectangles [4, N] of the array with this integral image."""
    x0, y0, x1, y1 = rects
    upper, lower = y0 * integral.shape[1], y1 * integral.shape[1]
    flat = integral.ravel()
    sums: Ints = flat[lower + x1] - flat[upper + x1] - flat[lower + x0] + flat[upper + x0]
    return sums
