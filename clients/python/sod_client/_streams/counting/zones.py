"""Occupancy of a zone, and how long objects stay in it."""

from collections import Counter
from dataclasses import dataclass

from sod_client._streams.counting.shapes import Point, Shape

_SIGHTINGS = 2  # one after another on the other side, before an object counts as there


@dataclass
class _Visit:
    """What is known of one object: since when it is inside, None outside; and sightings that say otherwise."""

    label: str
    last: float
    since: float | None = None
    other: int = 0
    other_since: float = 0.0


@dataclass(frozen=True)
class Change:
    """An object entered or left.

    Attributes:
        kind: "enter" or "leave".
        dwell: seconds that it was inside; 0 when it enters.
    """

    kind: str
    label: str
    dwell: float = 0.0


class ZoneCounter:
    """Knows which tracked objects have their centre in a polygon.

    An object counts as inside, or as outside again, when it was seen there twice, one after the other. An object that
    is hidden stays where it was for as long as its track does.

    Attributes:
        entered: objects that entered, by label.
        dwell: seconds that objects which have left were inside, in total by label.
        left: the number of those objects, by label.
    """

    def __init__(self, zone: Shape) -> None:
        self.name = zone.name
        self.points = zone.points
        self.entered: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        self.dwell: dict[str, float] = {}
        self._visits: dict[int, _Visit] = {}

    def update(self, track_id: int, label: str, box: list[float], time: float) -> Change | None:
        """Take in where an object is; returns what changed."""
        is_inside = _contains(self.points, ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
        visit = self._visits.setdefault(track_id, _Visit(label, time))
        visit.label, visit.last = label, time
        if is_inside == (visit.since is not None):
            visit.other = 0
            return None
        if visit.other == 0:
            visit.other_since = time
        visit.other += 1
        if visit.other < _SIGHTINGS:
            return None
        visit.other = 0
        if is_inside:
            visit.since = visit.other_since
            self.entered[label] += 1
            return Change("enter", label)
        return self._leave(visit, visit.other_since)

    def forget(self, track_id: int) -> Change | None:
        """An object has gone; if it was inside, it left when it was seen last."""
        visit = self._visits.pop(track_id, None)
        return None if visit is None or visit.since is None else self._leave(visit, visit.last)

    def occupancy(self) -> Counter[str]:
        """The objects that are inside, by label."""
        return Counter(visit.label for visit in self._visits.values() if visit.since is not None)

    def _leave(self, visit: _Visit, when: float) -> Change:
        assert visit.since is not None  # noqa: S101 - checked by the callers
        seconds = max(0.0, when - visit.since)
        visit.since = None
        self.left[visit.label] += 1
        self.dwell[visit.label] = self.dwell.get(visit.label, 0.0) + seconds
        return Change("leave", visit.label, seconds)


def _contains(polygon: tuple[Point, ...], point: Point) -> bool:
    """Whether a polygon contains a point, by the number of its sides that a ray to the right meets."""
    x, y = point
    inside = False
    for (x1, y1), (x2, y2) in zip(polygon, (*polygon[1:], *polygon[:1]), strict=True):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1):
            inside = not inside
    return inside
