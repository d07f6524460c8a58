"""Draws boxes and labels on an image for which the server sent no drawing."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import product

from PIL import Image, ImageDraw, ImageFont

from sod_client._results.data import Box
from sod_client._results.palette import Colour, class_colour, text_colour

_Rectangle = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""
_CELL = 128  # pixels


def draw(image: Image.Image, boxes: Sequence[Box], captions: Sequence[str] | None = None) -> Image.Image:
    """Draw boxes and labels on a copy of the image.

    A label is placed where it covers no box and no other label; the object with the best score chooses first. An
    object for which no such place is left gets no label.

    Args:
        image: RGB.
        boxes: objects, with coordinates in the image's pixels.
        captions: the text of each label; None is the class and the score.

    Returns:
        An image of the same size and mode.
    """
    canvas = image.copy()
    draw_on(canvas, boxes, captions)
    return canvas


def draw_on(canvas: Image.Image, boxes: Sequence[Box], captions: Sequence[str] | None = None) -> None:
    """As `draw`, on the image itself."""
    pen = ImageDraw.Draw(canvas)
    line = max(1, round(max(canvas.size) / 1800))
    size = 10 + min(14, max(0, max(canvas.size) - 1400) // 250)
    frames = [_frame(box, line) for box in boxes]
    for box, frame in zip(boxes, frames, strict=True):
        pen.rectangle(frame, outline=class_colour(box["cls_id"]), width=line)
    occupied = _Places(frames, canvas.size)
    texts = [f"{short_name(box)} {box['score']:.2f}" for box in boxes] if captions is None else captions
    for box, own, text in sorted(zip(boxes, frames, texts, strict=True), key=lambda each: -each[0]["score"]):
        tile = _label(text, class_colour(box["cls_id"]), size)
        width, height = tile.size
        for left, top in ((own[0], own[1] - height), (own[0], own[3]), (own[2] - width, own[1] - height)):
            place = (left, top, left + width, top + height)
            is_inside = left >= 0 and top >= 0 and place[2] <= canvas.width and place[3] <= canvas.height
            if is_inside and occupied.is_free(place, own):
                canvas.paste(tile, (round(left), round(top)))
                occupied.add(place)
                break


@lru_cache(maxsize=1024)
def _label(text: str, colour: Colour, size: int) -> Image.Image:
    """A label; kept, because rendering the text of one takes 0.4 ms, and the frames of a video repeat it."""
    font = ImageFont.load_default(size=size)
    x0, y0, x1, y1 = font.getbbox(text)
    tile = Image.new("RGB", (math.ceil(x1 - x0) + 4, math.ceil(y1 - y0) + 4), colour)
    ImageDraw.Draw(tile).text((2 - x0, 2 - y0), text, fill=text_colour(colour), font=font)
    return tile


def short_name(box: Box) -> str:
    """The label, or the class id where the font that comes with Pillow may lack the label's characters."""
    return box["label"] if box["label"].isascii() else str(box["cls_id"])


class _Places:
    """Rectangles by the cells of a grid that they touch: of thousands of them each is compared with those near it."""

    def __init__(self, rectangles: Iterable[_Rectangle], size: tuple[int, int]) -> None:
        self._last = [side // _CELL for side in size]
        self._cells: defaultdict[tuple[int, int], list[_Rectangle]] = defaultdict(list)
        for rectangle in rectangles:
            self.add(rectangle)

    def add(self, rectangle: _Rectangle) -> None:
        for cell in self._touched(rectangle):
            self._cells[cell].append(rectangle)

    def is_free(self, place: _Rectangle, own: _Rectangle) -> bool:
        """Whether `place` overlaps none of the rectangles but `own`."""
        near = (one for cell in self._touched(place) for one in self._cells.get(cell, ()))
        return not any(one is not own and _overlap(place, one) for one in near)

    def _touched(self, rectangle: _Rectangle) -> Iterator[tuple[int, int]]:
        """The cells of the image that a rectangle touches; labels lie inside of the image."""
        columns, rows = (
            range(int(max(0, rectangle[k]) // _CELL), int(min(self._last[k], rectangle[k + 2] // _CELL)) + 1)
            for k in (0, 1)
        )
        return product(columns, rows)


def _frame(box: Box, line: int) -> _Rectangle:
    """The rectangle just outside the object, which would hide a small object if drawn inside.

    The edges are sorted, because Pillow raises for a rectangle whose right edge is left of its left edge.
    """
    x1, y1, x2, y2 = box["coordinate"]
    left, right = sorted((x1, x2))
    top, bottom = sorted((y1, y2))
    return left - line, top - line, right + line, bottom + line


def _overlap(one: _Rectangle, other: _Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
