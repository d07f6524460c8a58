"""Boxes on an image, where no server has drawn them: thin frames, and labels where they cover nothing."""

import colorsys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from sod_client.result import Box

_Colour = tuple[int, int, int]
_Rect = tuple[float, float, float, float]
_GOLDEN = 0.618034  # turning the hue by this share keeps neighbouring classes apart


def draw(image: Image.Image, boxes: Sequence["Box"]) -> Image.Image:
    """Draw boxes and labels on a copy of the image, the best score first.

    Args:
        image: RGB.
        boxes: with coordinates in the image's pixels.
    """
    canvas = image.copy()
    pen = ImageDraw.Draw(canvas)
    line = max(1, round(max(canvas.size) / 1800))
    font = ImageFont.load_default(size=10 + min(14, max(0, max(canvas.size) - 1400) // 250))
    frames = [_frame(box, line) for box in boxes]
    for box, frame in zip(boxes, frames, strict=True):
        pen.rectangle(frame, outline=_colour(box["cls_id"]), width=line)
    taken: list[_Rect] = []
    for box, own in sorted(zip(boxes, frames, strict=True), key=lambda each: -each[0]["score"]):
        # Pillow's own font knows little more than ASCII.
        name = box["label"] if box["label"].isascii() else str(box["cls_id"])
        text = f"{name} {box['score']:.2f}"
        x0, y0, x1, y1 = pen.textbbox((0, 0), text, font=font)
        width, height = x1 - x0 + 4, y1 - y0 + 4
        others = [frame for frame in frames if frame is not own] + taken
        for left, top in ((own[0], own[1] - height), (own[0], own[3]), (own[2] - width, own[1] - height)):
            spot = (left, top, left + width, top + height)
            inside = left >= 0 and top >= 0 and spot[2] <= canvas.width and spot[3] <= canvas.height
            if inside and not any(_overlap(spot, other) for other in others):
                colour = _colour(box["cls_id"])
                pen.rectangle(spot, fill=colour)
                pen.text((left + 2 - x0, top + 2 - y0), text, fill=_ink(colour), font=font)
                taken.append(spot)
                break
    return canvas


def _frame(box: "Box", line: int) -> _Rect:
    """Around the object, for that is small; ordered, for Pillow insists on it."""
    x1, y1, x2, y2 = box["coordinate"]
    left, right = sorted((x1, x2))
    top, bottom = sorted((y1, y2))
    return left - line, top - line, right + line, bottom + line


def _overlap(one: _Rect, other: _Rect) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _colour(class_id: int) -> _Colour:
    red, green, blue = colorsys.hsv_to_rgb(class_id * _GOLDEN % 1, 0.85, 1)
    return round(255 * red), round(255 * green), round(255 * blue)


def _ink(background: _Colour) -> _Colour:
    red, green, blue = background
    return (0, 0, 0) if 0.3 * red + 0.6 * green + 0.1 * blue > 110 else (255, 255, 255)
