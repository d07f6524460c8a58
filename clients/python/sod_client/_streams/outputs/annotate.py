"""Draws a frame's objects, trails and counters, and hides what must not be seen."""

import math
from collections import deque
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from sod_client._results.data import Box
from sod_client._results.draw import draw_on, short_name
from sod_client._results.palette import class_colour
from sod_client._streams.counting.lines import IN, OUT
from sod_client._streams.counting.shapes import Shape
from sod_client._streams.result import FrameResult

TRAIL_S = 2.0
_BLURRED_RESULTS = 5  # an object that is missed in a frame stays hidden where it was in the frames before
_BLUR_MARGIN = 0.15
_LINE_COLOUR = (255, 255, 255)
_PANEL = (0, 0, 0)


class Annotator:
    """Draws the frames of one source, in order.

    Args:
        lines: drawn with their counts.
        zones: drawn with their counts.
        blur: labels and class ids of the objects whose pixels are made unrecognisable.
    """

    def __init__(self, lines: Sequence[Shape], zones: Sequence[Shape], blur: Collection[int | str]) -> None:
        self._lines, self._zones, self._blur = lines, zones, blur
        self._trails: dict[int, deque[tuple[float, float, float]]] = {}
        self._hidden: deque[list[list[float]]] = deque(maxlen=_BLURRED_RESULTS)

    def draw(self, result: FrameResult) -> Image.Image:
        """The frame with what is known of it, RGB.

        Raises:
            SodError: the image of a folder can no longer be read.
        """
        image = self._hide(result)
        self._follow(result)
        canvas = image if self._blur else image.copy()
        pen = ImageDraw.Draw(canvas)
        width = max(1, round(max(canvas.size) / 1000))
        for box in result.boxes:
            trail = self._trails.get(box.get("track_id") or 0)  # type: ignore[call-overload]
            if trail is not None and len(trail) > 1:
                pen.line([(x, y) for _, x, y in trail], fill=class_colour(box["cls_id"]), width=width)
        for shape in (*self._lines, *self._zones):
            closed = [*shape.points, shape.points[0]] if len(shape.points) > 2 else list(shape.points)
            pen.line(closed, fill=_PANEL, width=3 * width)
            pen.line(closed, fill=_LINE_COLOUR, width=width)
        draw_on(canvas, result.boxes, [_caption(box) for box in result.boxes])
        self._write_counters(canvas, result)
        return canvas

    def _hide(self, result: FrameResult) -> Image.Image:
        image = result.frame.item.decoded()
        if not self._blur:
            return image
        self._hidden.append(
            [box["coordinate"] for box in result.boxes if box["label"] in self._blur or box["cls_id"] in self._blur]
        )
        image = image.copy()
        for boxes in self._hidden:
            for box in boxes:
                _pixelate(image, box)
        return image

    def _follow(self, result: FrameResult) -> None:
        for box in result.boxes:
            track_id: int | None = box.get("track_id")  # type: ignore[assignment]
            if track_id is not None:
                x1, y1, x2, y2 = box["coordinate"]
                self._trails.setdefault(track_id, deque()).append((result.time, (x1 + x2) / 2, (y1 + y2) / 2))
        for track_id, trail in list(self._trails.items()):
            while trail and result.time - trail[0][0] > TRAIL_S:
                trail.popleft()
            if not trail:
                del self._trails[track_id]

    def _write_counters(self, canvas: Image.Image, result: FrameResult) -> None:
        counts: dict[str, Any] = result.get("counts", {})
        rows = [
            f"{name}: in {sum(line[IN].values())}, out {sum(line[OUT].values())}"
            for name, line in counts.get("lines", {}).items()
        ]
        rows += [f"{name}: {sum(zone['inside'].values())} inside" for name, zone in counts.get("zones", {}).items()]
        if not rows:
            return
        text = "\n".join(row if row.isascii() else row.encode("ascii", "replace").decode() for row in rows)
        canvas.paste(_panel(text, max(12, round(canvas.height / 45))), (4, 4))


@lru_cache(maxsize=64)
def _panel(text: str, size: int) -> Image.Image:
    """The counters; kept, because they change rarely and rendering their text takes about a millisecond."""
    font = ImageFont.load_default(size=size)
    x1, y1, x2, y2 = ImageDraw.Draw(Image.new("RGB", (1, 1))).multiline_textbbox((6, 6), text, font=font)
    tile = Image.new("RGB", (math.ceil(x2) + 6, math.ceil(y2) + 6), _PANEL)
    ImageDraw.Draw(tile).multiline_text((12 - x1, 12 - y1), text, fill=_LINE_COLOUR, font=font)
    return tile


def _caption(box: Box) -> str:
    """Short, because the boxes are small: the class and the id, or the score where there is no id."""
    track_id = box.get("track_id")
    return f"{short_name(box)} {box['score']:.2f}" if track_id is None else f"{short_name(box)} {track_id}"


def _pixelate(image: Image.Image, box: list[float]) -> None:
    """Replace a box, and a margin, by at most 3 x 3 areas of its mean colours, from which nothing can be restored."""
    x1, y1, x2, y2 = box
    dx, dy = _BLUR_MARGIN * (x2 - x1) + 1, _BLUR_MARGIN * (y2 - y1) + 1
    left, top = max(0, int(x1 - dx)), max(0, int(y1 - dy))
    right, bottom = min(image.width, int(x2 + dx) + 1), min(image.height, int(y2 + dy) + 1)
    if right <= left or bottom <= top:
        return
    part = image.crop((left, top, right, bottom))
    small = part.resize((min(3, part.width), min(3, part.height)), Image.Resampling.BOX)
    image.paste(small.resize(part.size, Image.Resampling.BILINEAR), (left, top))
