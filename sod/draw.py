"""The overlay: thin boxes in the colour of their class, and small labels that bury nothing.

A box is drawn on the pixels just outside the object. Labels go to free places around their boxes, the best score
first; one that finds none is left out, and then a legend in a corner says which colour is which class.
"""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from sod.detections import Detections
from sod.fonts import WIDE_MIN_SIZE, can_draw, is_wide, text_mask
from sod.palette import Colour, class_colour, text_colour

Pixels = NDArray[np.uint8]
Ints = NDArray[np.int32]
Rect = list[int]
"""x0, y0, x1, y1 in pixels, ends excluded."""
_Scalar = TypeVar("_Scalar", bound=np.generic)

_MAX_LABEL = 32  # characters; a longer class name ends in an ellipsis
_LEGEND_SHARE = 0.25  # of the image, at most
# What is left of the image's light under the legend: 35 %.
_LEGEND_DIM = (np.arange(256) * np.float32(0.35)).astype(np.uint8)
_LEGEND_INK = (245, 245, 245)
_ROOMY = 16  # a label may lie inside its own box if the box has this many times its area


def draw_detections(image: Pixels, detections: Detections, labels: Sequence[str], *, in_place: bool = False) -> Pixels:
    """Draw boxes and labels on a copy of the image, or into it.

    Args:
        image: uint8 [H, W, 3], BGR.
        detections: M objects with boxes in the image's pixels. Parts outside the image are cut off; boxes wholly
            outside, or with a coordinate that is not finite, are not drawn.
        labels: class names by class id. Where one is missing or has characters that no font here has, the id stands in.
        in_place: draw into `image`, which must be C-contiguous and writable, and return it.

    Returns:
        uint8 [H, W, 3], BGR.

    Raises:
        ValueError: `image` is not uint8 [H, W, 3], or cannot be drawn into.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image must be uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")
    if in_place and not (image.flags.c_contiguous and image.flags.writeable):
        raise ValueError("image must be C-contiguous and writable to be drawn into")
    canvas = image if in_place else np.array(image, order="C")
    height, width = canvas.shape[:2]
    style = _Style.of(width, height)
    rings, shown = _rings(detections.boxes, width, height, style.line)
    if not len(shown):
        return canvas
    best_first = np.argsort(-detections.scores[shown], kind="stable")
    rings, shown = rings[best_first], shown[best_first]
    class_ids: list[int] = detections.class_ids[shown].tolist()
    scores: list[float] = detections.scores[shown].tolist()

    names = {class_id: _name(class_id, labels) for class_id in set(class_ids)}
    if any(map(is_wide, names.values())):
        style = style._replace(font=max(style.font, WIDE_MIN_SIZE), wide=True)
    tags = [
        _tag(f"{names[class_id]} {score:.2f}".lstrip(), style, class_colour(class_id))
        for class_id, score in zip(class_ids, scores, strict=True)
    ]
    places = _place(rings, tags, width, height, style.cell)
    if None in places:
        _place_inside(rings, tags, places, style.line)
    if None in places:
        counts = sorted(Counter(class_ids).items())
        entries = [(class_colour(class_id), f"{names[class_id]} {count}".lstrip()) for class_id, count in counts]
        _draw_legend(canvas, entries, rings, places, style)
    _draw_boxes(canvas, rings, class_ids, style.line)
    for place, tag, class_id in zip(places, tags, class_ids, strict=True):
        if place is not None:
            _slice(canvas, place.leader)[:] = class_colour(class_id)
            _slice(canvas, place.tag)[:] = tag
    return canvas


class _Style(NamedTuple):
    """Sizes in pixels."""

    line: int
    font: int
    cell: int  # labels are placed on a grid of such cells, to bound the work on large images
    wide: bool = False  # whether lines have room for the wide font's characters

    @classmethod
    def of(cls, width: int, height: int) -> "_Style":
        side = max(width, height)
        return cls(
            line=max(1, round(side / 1800)), font=10 + min(14, max(0, side - 1400) // 250), cell=1 + side // 2200
        )


# Boxes -------------------------------------------------------------------------------------------------------------


def _rings(boxes: NDArray[np.float32], width: int, height: int, line: int) -> tuple[Ints, NDArray[np.intp]]:
    """Outer edges of the lines around the boxes, [K, 4] x0, y0, x1, y1 (ends excluded), and the boxes' indices [K]."""
    corners = boxes.reshape(-1, 4).astype(np.float64)
    low = np.minimum(corners[:, :2], corners[:, 2:])
    high = np.maximum(corners[:, :2], corners[:, 2:])
    size = np.array([width, height])
    inside = np.isfinite(corners).all(1) & (low < size).all(1) & (high > 0).all(1)
    low = np.floor(np.clip(low[inside], 0, size)) - line
    high = np.ceil(np.clip(high[inside], 0, size)) + line
    outer = np.concatenate((np.maximum(low, 0), np.minimum(high, size)), axis=1)
    return outer.astype(np.int32), np.flatnonzero(inside)


def _draw_boxes(canvas: Pixels, rings: Ints, class_ids: list[int], line: int) -> None:
    """Draw lines of `line` pixels inwards from the rings' edges, the first ring on top."""
    for (x0, y0, x1, y1), class_id in zip(reversed(rings.tolist()), reversed(class_ids), strict=True):
        for inset in range(line):
            corner, opposite = (x0 + inset, y0 + inset), (x1 - 1 - inset, y1 - 1 - inset)
            cv2.rectangle(canvas, corner, opposite, class_colour(class_id), 1)


# Text --------------------------------------------------------------------------------------------------------------


def _name(class_id: int, labels: Sequence[str]) -> str:
    """The class's name as it can be drawn, in one short line."""
    name = labels[class_id] if 0 <= class_id < len(labels) else str(class_id)
    name = " ".join(name.split())
    if not can_draw(name):
        return str(class_id)
    return name if len(name) <= _MAX_LABEL else name[: _MAX_LABEL - 1] + "…"


@lru_cache(maxsize=4096)
def _tag(text: str, style: _Style, colour: Colour) -> Pixels:
    """The text on a background of the class's colour, uint8 [h, w, 3] BGR; h and w are whole cells."""
    mask = text_mask(text, style.font, wide=style.wide)
    pad_x, pad_y = 1 + style.font // 8, 1 + style.font // 16
    height, width = mask.shape[0] + 2 * pad_y, mask.shape[1] + 2 * pad_x
    tag = np.empty((height + -height % style.cell, width + -width % style.cell, 3), np.uint8)
    tag[:] = colour
    _write(tag, mask, pad_x, pad_y, text_colour(colour))
    return _frozen(tag)


def _write(canvas: Pixels, mask: Pixels, x: int, y: int, colour: Colour) -> None:
    """Lay `colour` over `canvas` where `mask` says, with the mask's top left at (x, y); it must fit."""
    under = canvas[y : y + mask.shape[0], x : x + mask.shape[1]]
    share = np.divide(mask[:, :, None], 255, dtype=np.float32)
    under[:] = np.rint(under + share * (np.array(colour, np.float32) - under))


def _frozen(array: Pixels) -> Pixels:
    array.flags.writeable = False  # cached arrays are shared between threads
    return array


# Places for labels -------------------------------------------------------------------------------------------------


class _Place(NamedTuple):
    """Where a label goes, and the line that leads to it (empty where the label touches its box)."""

    tag: Rect
    leader: Rect


class _Spots(NamedTuple):
    """Where labels may be around a box, C places, the better ones first."""

    above: NDArray[np.bool_]  # [C]
    beside: NDArray[np.bool_]  # [C]; where neither is true, a place is below the box
    right: NDArray[np.bool_]  # [C], of those beside
    distance: NDArray[np.float64]  # [C], from the box, in heights of the label
    slide: NDArray[np.float64]  # [C], along the box's edge: 0 is flush with one end, 1 with the other
    margin: Ints  # [4, C], what to add to a label's edges for the distance it keeps from other things

    @classmethod
    def listed(cls) -> "_Spots":
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
        near = (distance > 0).astype(np.int32)  # a label may touch its own box only
        margin = [
            np.where(right, -near, -1),
            np.where(below, -near, -1),
            np.where(left, near, 1),
            np.where(above, near, 1),
        ]
        return cls(above, right | left, right, distance, np.array(slides, np.float64), np.array(margin, np.int32))


_SPOTS = _Spots.listed()


def _place(rings: Ints, tags: list[Pixels], width: int, height: int, cell: int) -> list[_Place | None]:
    """A place for each label that covers no box and no other label, or None; the first label chooses first."""
    cells = np.concatenate((rings[:, :2] // cell, -(-rings[:, 2:] // cell)), axis=1)
    sizes = np.array([(tag.shape[1], tag.shape[0]) for tag in tags], np.int32) // cell
    occupied = np.zeros((-(-height // cell), -(-width // cell)), np.uint8)
    for x0, y0, x1, y1 in cells.tolist():
        occupied[y0:y1, x0:x1] = 1

    # What no other label can change is answered for all candidates at once, in flat arrays of them.
    spots, leaders = (edges.reshape(4, -1) for edges in _candidates(cells, sizes))
    ranks = len(_SPOTS.slide)
    limit_x, limit_y = width // cell, height // cell
    x0, y0, x1, y1 = spots
    left = np.flatnonzero((x0 >= 0) & (y0 >= 0) & (x1 <= limit_x) & (y1 <= limit_y))
    # `take` keeps rows contiguous, an index does not, and all that follows works on rows.
    claims = spots.take(left, 1) + _SPOTS.margin.take(left % ranks, 1)
    np.maximum(claims[:2], 0, out=claims[:2])
    np.minimum(claims[2], limit_x, out=claims[2])
    np.minimum(claims[3], limit_y, out=claims[3])
    table = cv2.integral(occupied).astype(np.int32, copy=False)
    clear = _sums(table, claims) == 0
    left, claims = left[clear], claims.compress(clear, 1)
    clear = _sums(table, leaders.take(left, 1)) == 0
    left, claims = left[clear], claims.compress(clear, 1)

    places: list[_Place | None] = [None] * len(tags)
    taken = np.zeros(occupied.shape, np.bool_)
    starts = np.searchsorted(left, ranks * np.arange(len(tags) + 1)).tolist()
    for owner, (start, end) in enumerate(pairwise(starts)):
        for index in range(start, end):
            leader = leaders[:, left[index]].tolist()
            # count_nonzero is five times as fast as any() here
            if not np.count_nonzero(_slice(taken, claims[:, index].tolist())) and not np.count_nonzero(
                _slice(taken, leader)
            ):
                spot = spots[:, left[index]].tolist()
                _slice(taken, spot)[:] = True
                _slice(taken, leader)[:] = True
                places[owner] = _Place([cell * edge for edge in spot], [cell * edge for edge in leader])
                break
    return places


def _slice(array: NDArray[_Scalar], rect: list[int]) -> NDArray[_Scalar]:
    x0, y0, x1, y1 = rect
    return array[y0:y1, x0:x1]


def _candidates(cells: Ints, sizes: Ints) -> tuple[Ints, Ints]:
    """Places around boxes [K, 4] for labels of sizes [K, 2] (width, height), the better ones first.

    Returns:
        The labels' edges and those of the lines that lead to them: int32 [4, K, C], as x0, y0, x1, y1.
    """
    x0, y0, x1, y1 = cells.T[:, :, None]
    w, h = sizes.T[:, :, None]
    above, beside, right, distance, slide, _ = _SPOTS
    gap, near = (distance * h).astype(np.int32), distance > 0
    where = np.where

    left = where(beside, where(right, x1 + gap, x0 - w - gap), x0 + (slide * (x1 - w - x0)).astype(np.int32))
    top = where(beside, y0 + (slide * (y1 - h - y0)).astype(np.int32), where(above, y0 - h - gap, y1 + gap))
    middle_x = (np.maximum(left, x0) + np.minimum(left + w, x1)) // 2
    middle_y = (np.maximum(top, y0) + np.minimum(top + h, y1)) // 2
    leader = (
        where(beside, where(right, x1, x0 - gap), middle_x),
        where(beside, middle_y, where(above, y0 - gap, y1)),
        where(beside, where(right, x1 + gap, x0), middle_x + near),
        where(beside, middle_y + near, where(above, y0, y1 + gap)),
    )
    return np.array((left, top, left + w, top + h), np.int32), np.array(leader, np.int32)


def _sums(table: Ints, rects: Ints) -> Ints:
    """Sums [N] of the array whose integral image is `table` over rects [4, N]."""
    x0, y0, x1, y1 = rects
    upper, lower = y0 * table.shape[1], y1 * table.shape[1]
    flat = table.ravel()
    sums: Ints = flat[lower + x1] - flat[upper + x1] - flat[lower + x0] + flat[upper + x0]
    return sums


def _place_inside(rings: Ints, tags: list[Pixels], places: list[_Place | None], line: int) -> None:
    """Give the big boxes among those without a label one in their own corner, where it lies on no other box."""
    taken = _rects([place.tag for place in places if place is not None])
    for index, (x0, y0, x1, y1) in enumerate(rings.tolist()):
        if places[index] is not None:
            continue
        height, width = tags[index].shape[:2]
        left, top, right, bottom = x0 + line, y0 + line, x1 - line - width, y1 - line - height
        if (x1 - x0) * (y1 - y0) < _ROOMY * width * height or right < left or bottom < top:
            continue
        corners = ((left, top), (right, top), (left, bottom), (right, bottom))
        spots = _rects([[x, y, x + width, y + height] for x, y in corners])
        # Each of them lies on the box that it is of.
        free = (_touching(spots, rings).sum(1) == 1) & ~_touching(spots, taken).any(1)
        if free.any():
            best = int(free.argmax())
            x, y = corners[best]
            places[index] = _Place(spots[best].tolist(), [x, y, x, y])
            taken = np.concatenate((taken, spots[best : best + 1]))


def _rects(rects: list[Rect]) -> Ints:
    return np.array(rects, np.int32).reshape(-1, 4)


def _touching(rects: Ints, others: Ints) -> NDArray[np.bool_]:
    """Which of rects [N, 4] share pixels with which of others [M, 4]: bool [N, M]."""
    x0, y0, x1, y1 = rects.T[:, :, None]
    u0, v0, u1, v1 = others.T[:, None, :]
    overlap: NDArray[np.bool_] = (x0 < u1) & (u0 < x1) & (y0 < v1) & (v0 < y1)
    return overlap


# Legend ------------------------------------------------------------------------------------------------------------


def _draw_legend(
    canvas: Pixels, entries: list[tuple[Colour, str]], rings: Ints, places: list[_Place | None], style: _Style
) -> None:
    """Draw a panel of colours and their meaning in the corner where it covers the fewest boxes.

    It goes under the boxes, so that every box stays visible, and takes away the labels that would lie on it. Nothing
    is drawn if it would fill too much of the image.
    """
    height, width = canvas.shape[:2]
    masks = [text_mask(text, style.font, wide=style.wide) for _, text in entries]
    swatch = masks[0].shape[0]
    margin = 2 + swatch // 3
    pitch_x, pitch_y = swatch + max(mask.shape[1] for mask in masks) + 3 * margin, swatch + 2 + swatch // 4

    shapes: list[tuple[int, Rect]] = []  # rows, and where
    for columns in range(1, min(len(entries), 16) + 1):
        rows = -(-len(entries) // columns)
        w, h = columns * pitch_x, rows * pitch_y + margin
        right, bottom = width - margin - w, height - margin - h
        if right >= margin and bottom >= margin and w * h <= _LEGEND_SHARE * width * height:
            shapes += [(rows, [x, y, x + w, y + h]) for y in (margin, bottom) for x in (margin, right)]
    if not shapes:
        return

    panels = _rects([rect for _, rect in shapes])
    labelled = [index for index, place in enumerate(places) if place is not None]
    tags = _touching(panels, _rects([place.tag for place in places if place is not None]))
    leaders = _touching(panels, _rects([place.leader for place in places if place is not None]))
    covered, hidden = _touching(panels, rings).sum(1), tags | leaders
    best = int(np.lexsort((hidden.sum(1), covered))[0])
    for index in np.flatnonzero(hidden[best]).tolist():
        places[labelled[index]] = None

    rows, (x0, y0, x1, y1) = shapes[best]
    panel = canvas[y0:y1, x0:x1]
    panel[:] = cv2.LUT(panel, _LEGEND_DIM)
    for index, ((colour, _), mask) in enumerate(zip(entries, masks, strict=True)):
        x, y = margin + index // rows * pitch_x, margin + index % rows * pitch_y
        panel[y : y + swatch, x : x + swatch] = colour
        _write(panel, mask, x + swatch + margin, y, _LEGEND_INK)
