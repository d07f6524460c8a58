"""Draws boxes and labels on an image for which the server sent no drawing."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from sod_client._results.data import Box
from sod_client._results.palette import class_colour, text_colour

_Rectangle = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


def draw(image: Image.Image, boxes: Sequence[Box]) -> Image.Image:
    """Draw boxes and labels on a copy of the image.

    A label is placed where it covers no box and no other label; the object with the best score chooses first. An
    object for which no such place is left gets no label.

    Args:
        image: RGB.
        boxes: objects, with coordinates in the image's pixels.

    Returns:
        An image of the same size and mode.
    """
    canvas = image.copy()
    pen = ImageDraw.Draw(canvas)
    line = max(1, round(max(canvas.size) / 1800))
    font = ImageFont.load_default(size=10 + min(14, max(0, max(canvas.size) - 1400) // 250))
    frames = [_frame(box, line) for box in boxes]
    for box, frame in zip(boxes, frames, strict=True):
        pen.rectangle(frame, outline=class_colour(box["cls_id"]), width=line)
    occupied: list[_Rectangle] = []
    for box, own in sorted(zip(boxes, frames, strict=True), key=lambda each: -each[0]["score"]):
        # The font that comes with Pillow has few characters beyond ASCII.
        name = box["label"] if box["label"].isascii() else str(box["cls_id"])
        text = f"{name} {box['score']:.2f}"
        x0, y0, x1, y1 = pen.textbbox((0, 0), text, font=font)
        width, height = x1 - x0 + 4, y1 - y0 + 4
        obstacles = [frame for frame in frames if frame is not own] + occupied
        for left, top in ((own[0], own[1] - height), (own[0], own[3]), (own[2] - width, own[1] - height)):
            place = (left, top, left + width, top + height)
            is_inside = left >= 0 and top >= 0 and place[2] <= canvas.width and place[3] <= canvas.height
            if is_inside and not any(_overlap(place, obstacle) for obstacle in obstacles):
                colour = class_colour(box["cls_id"])
                pen.rectangle(place, fill=colour)
                pen.text((left + 2 - x0, top + 2 - y0), text, fill=text_colour(colour), font=font)
                occupied.append(place)
                break
    return canvas


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
