"""Crossings of a line."""

import math
from collections import Counter

from sod_client._streams.counting.shapes import Point, Shape

IN, OUT = "in", "out"
_MARGIN_SHARE = 0.3
_MARGIN_PX = 2.0


class LineCounter:
    """Counts the tracked objects whose centre crosses a line.

    An object counts when its centre lies clearly on the other side: farther from the line than the margin, which is
    0.3 times the smaller side of its box, at least 2 pixels. A box that flickers on the line therefore does not count
    twice. While an object is hidden, the side on which it was seen last stays; it counts once when it is seen again
    under the same id.

    Attributes:
        counts: crossings by (direction, label). Seen from the first point of the line towards the second, `in` leads
            from its left to its right, and `out` from its right to its left.
    """

    def __init__(self, line: Shape) -> None:
        self.name = line.name
        self.points = line.points
        self.counts: Counter[tuple[str, str]] = Counter()
        (x1, y1), (x2, y2) = line.points
        self._start = (x1, y1)
        self._length = math.hypot(x2 - x1, y2 - y1)
        self._along = ((x2 - x1) / self._length, (y2 - y1) / self._length)
        self._last: dict[int, tuple[float, Point]] = {}

    def update(self, track_id: int, label: str, box: list[float]) -> str | None:
        """Take in where an object is; returns the direction if it has crossed the line now."""
        x1, y1, x2, y2 = box
        centre = ((x1 + x2) / 2, (y1 + y2) / 2)
        distance = self._distance(centre)
        if abs(distance) <= max(_MARGIN_PX, _MARGIN_SHARE * min(x2 - x1, y2 - y1)):
            return None
        before = self._last.get(track_id)
        self._last[track_id] = (distance, centre)
        if before is None or (before[0] > 0) == (distance > 0) or not self._meets(before, distance, centre):
            return None
        direction = IN if distance > 0 else OUT
        self.counts[direction, label] += 1
        return direction

    def forget(self, track_id: int) -> None:
        """An object has gone."""
        self._last.pop(track_id, None)

    def total(self, direction: str) -> int:
        """Crossings of all classes."""
        return sum(count for (one, _), count in self.counts.items() if one == direction)

    def _distance(self, point: Point) -> float:
        """Pixels from the infinite line; positive on its right, where y grows downwards."""
        dx, dy = point[0] - self._start[0], point[1] - self._start[1]
        return self._along[0] * dy - self._along[1] * dx

    def _meets(self, before: tuple[float, Point], distance: float, centre: Point) -> bool:
        """Whether the path met the line between its two points."""
        share = before[0] / (before[0] - distance)
        x = before[1][0] + share * (centre[0] - before[1][0]) - self._start[0]
        y = before[1][1] + share * (centre[1] - before[1][1]) - self._start[1]
        return 0 <= self._along[0] * x + self._along[1] * y <= self._length
