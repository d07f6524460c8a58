"""Draws detections: thin boxes in the colour of their class, and small labels that do not cover objects.

A box is drawn on the pixels just outside the object. Labels are placed around their boxes, those with the best scores
first. A label without a free place is left out; then a legend in a corner shows the colours of the classes.
"""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sod.detections import Detections
from sod.drawing.fonts import WIDE_MIN_SIZE, can_draw, is_wide, text_mask
from sod.drawing.label_placement import Ints, Placement, Rect, as_rects, overlaps, place_around, place_inside, region
from sod.drawing.palette import Colour, class_colour, text_colour

Pixels = NDArray[np.uint8]

_MAX_NAME = 32  # characters; a longer class name is shortened and ends in an ellipsis
_MAX_LEGEND_SHARE = 0.25  # of the image's area
# The legend's background keeps 35 % of the image's brightness.
_LEGEND_BACKGROUND = (np.arange(256) * np.float32(0.35)).astype(np.uint8)
_LEGEND_TEXT = (245, 245, 245)
_MAX_LEGEND_COLUMNS = 16


def draw_detections(image: Pixels, detections: Detections, labels: Sequence[str], *, in_place: bool = False) -> Pixels:
    """Draw boxes and labels on a copy of the image, or into the image itself.

    Args:
        image: uint8 [H, W, 3], BGR.
        detections: M objects with boxes in the image's pixels. Boxes are clipped to the image; boxes outside it, or
            with a coordinate that is not finite, are not drawn.
        labels: class names by class id. The id is drawn in place of a missing name, and of a name with characters for
            which no installed font has a glyph.
        in_place: draw into `image`, which must be C-contiguous and writable, and return it.

    Returns:
        uint8 [H, W, 3], BGR.

    Raises:
        ValueError: `image` is not uint8 [H, W, 3], or `in_place` is given and the image cannot be drawn into.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image must be uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")
    if in_place and not (image.flags.c_contiguous and image.flags.writeable):
        raise ValueError("image must be C-contiguous and writable to be drawn into")
    canvas = image if in_place else np.array(image, order="C")
    height, width = canvas.shape[:2]
    style = _Style.of(width, height)
    outlines, drawn = _outlines(detections.boxes, width, height, style.line)
    if not len(drawn):
        return canvas
    best_first = np.argsort(-detections.scores[drawn], kind="stable")
    outlines, drawn = outlines[best_first], drawn[best_first]
    class_ids: list[int] = detections.class_ids[drawn].tolist()
    scores: list[float] = detections.scores[drawn].tolist()

    names = {class_id: _drawable_name(class_id, labels) for class_id in set(class_ids)}
    if any(map(is_wide, names.values())):
        style = style._replace(font=max(style.font, WIDE_MIN_SIZE), wide=True)
    images = [
        _label_image(f"{names[class_id]} {score:.2f}".lstrip(), style, class_colour(class_id))
        for class_id, score in zip(class_ids, scores, strict=True)
    ]
    sizes = np.array([(label.shape[1], label.shape[0]) for label in images], np.int32)
    placements = place_around(outlines, sizes, width, height, style.cell)
    if None in placements:
        place_inside(outlines, sizes, placements, style.line)
    if None in placements:
        counts = sorted(Counter(class_ids).items())
        entries = [(class_colour(class_id), f"{names[class_id]} {count}".lstrip()) for class_id, count in counts]
        _draw_legend(canvas, entries, outlines, placements, style)
    _draw_boxes(canvas, outlines, class_ids, style.line)
    for placement, label, class_id in zip(placements, images, class_ids, strict=True):
        if placement is not None:
            region(canvas, placement.leader)[:] = class_colour(class_id)
            region(canvas, placement.label)[:] = label
    return canvas


class _Style(NamedTuple):
    """Sizes in pixels, which grow with the image."""

    line: int
    font: int
    cell: int  # of the grid on which labels are placed
    wide: bool = False  # whether lines of text are high enough for the wide font

    @classmethod
    def of(cls, width: int, height: int) -> "_Style":
        side = max(width, height)
        return cls(
            line=max(1, round(side / 1800)), font=10 + min(14, max(0, side - 1400) // 250), cell=1 + side // 2200
        )


# Boxes -------------------------------------------------------------------------------------------------------------


def _outlines(boxes: NDArray[np.float32], width: int, height: int, line: int) -> tuple[Ints, NDArray[np.intp]]:
    """Outer edges of the lines around the boxes that can be drawn.

    Args:
        boxes: float32 [M, 4].
        width: of the image.
        height: of the image.
        line: width of a line in pixels.

    Returns:
        int32 [K, 4] as x0, y0, x1, y1 with the ends excluded, and the indices of their boxes, intp [K].
    """
    corners = boxes.reshape(-1, 4).astype(np.float64)
    low = np.minimum(corners[:, :2], corners[:, 2:])
    high = np.maximum(corners[:, :2], corners[:, 2:])
    size = np.array([width, height])
    inside = np.isfinite(corners).all(1) & (low < size).all(1) & (high > 0).all(1)
    low = np.floor(np.clip(low[inside], 0, size)) - line
    high = np.ceil(np.clip(high[inside], 0, size)) + line
    outer = np.concatenate((np.maximum(low, 0), np.minimum(high, size)), axis=1)
    return outer.astype(np.int32), np.flatnonzero(inside)


def _draw_boxes(canvas: Pixels, outlines: Ints, class_ids: list[int], line: int) -> None:
    """Draw lines of `line` pixels along the inside of the outlines, the first outline on top."""
    for (x0, y0, x1, y1), class_id in zip(reversed(outlines.tolist()), reversed(class_ids), strict=True):
        for inset in range(line):
            corner, opposite = (x0 + inset, y0 + inset), (x1 - 1 - inset, y1 - 1 - inset)
            cv2.rectangle(canvas, corner, opposite, class_colour(class_id), 1)


# Text --------------------------------------------------------------------------------------------------------------


def _drawable_name(class_id: int, labels: Sequence[str]) -> str:
    """The class name on one line of at most 32 characters, or the class id if the name cannot be drawn."""
    name = labels[class_id] if 0 <= class_id < len(labels) else str(class_id)
    name = " ".join(name.split())
    if not can_draw(name):
        return str(class_id)
    return name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…"


@lru_cache(maxsize=4096)
def _label_image(text: str, style: _Style, colour: Colour) -> Pixels:
    """The text on a background of the class's colour, uint8 [h, w, 3] BGR, read-only; h and w are whole cells."""
    mask = text_mask(text, style.font, wide=style.wide)
    pad_x, pad_y = 1 + style.font // 8, 1 + style.font // 16
    height, width = mask.shape[0] + 2 * pad_y, mask.shape[1] + 2 * pad_x
    label = np.empty((height + -height % style.cell, width + -width % style.cell, 3), np.uint8)
    label[:] = colour
    _blend(label, mask, pad_x, pad_y, text_colour(colour))
    label.flags.writeable = False  # cached arrays are shared between threads
    return label


def _blend(canvas: Pixels, mask: Pixels, x: int, y: int, colour: Colour) -> None:
    """Blend `colour` into `canvas` with the opacity in `mask`, whose upper left corner goes to (x, y) and must fit."""
    under = canvas[y : y + mask.shape[0], x : x + mask.shape[1]]
    opacity = np.divide(mask[:, :, None], 255, dtype=np.float32)
    under[:] = np.rint(under + opacity * (np.array(colour, np.float32) - under))


# Legend ------------------------------------------------------------------------------------------------------------


def _draw_legend(
    canvas: Pixels,
    entries: list[tuple[Colour, str]],
    outlines: Ints,
    placements: list[Placement | None],
    style: _Style,
) -> None:
    """Draw a panel with the colours and names of the classes, in the corner where it covers the fewest boxes.

    Boxes are drawn on top of it, so that they stay visible. Labels that would lie on it are removed from
    `placements`. Nothing is drawn if the panel would take more than a quarter of the image.
    """
    height, width = canvas.shape[:2]
    masks = [text_mask(text, style.font, wide=style.wide) for _, text in entries]
    swatch = masks[0].shape[0]
    margin = 2 + swatch // 3
    pitch_x, pitch_y = swatch + max(mask.shape[1] for mask in masks) + 3 * margin, swatch + 2 + swatch // 4

    candidates: list[tuple[int, Rect]] = []  # number of rows, rectangle
    for columns in range(1, min(len(entries), _MAX_LEGEND_COLUMNS) + 1):
        rows = -(-len(entries) // columns)
        w, h = columns * pitch_x, rows * pitch_y + margin
        right, bottom = width - margin - w, height - margin - h
        if right >= margin and bottom >= margin and w * h <= _MAX_LEGEND_SHARE * width * height:
            candidates += [(rows, [x, y, x + w, y + h]) for y in (margin, bottom) for x in (margin, right)]
    if not candidates:
        return

    panels = as_rects([rect for _, rect in candidates])
    labelled = [index for index, placement in enumerate(placements) if placement is not None]
    under_label = overlaps(panels, as_rects([placement.label for placement in placements if placement is not None]))
    under_leader = overlaps(panels, as_rects([placement.leader for placement in placements if placement is not None]))
    covered, hidden = overlaps(panels, outlines).sum(1), under_label | under_leader
    best = int(np.lexsort((hidden.sum(1), covered))[0])
    for index in np.flatnonzero(hidden[best]).tolist():
        placements[labelled[index]] = None

    rows, rect = candidates[best]
    panel = region(canvas, rect)
    panel[:] = cv2.LUT(panel, _LEGEND_BACKGROUND)
    for index, ((colour, _), mask) in enumerate(zip(entries, masks, strict=True)):
        x, y = margin + index // rows * pitch_x, margin + index % rows * pitch_y
        panel[y : y + swatch, x : x + swatch] = colour
        _blend(panel, mask, x + swatch + margin, y, _LEGEND_TEXT)
