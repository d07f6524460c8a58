"""What stands where: roads, parked rows, pavements, people, trees and houses around the origin."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from finetune.scenes.objects import MAKERS, people
from finetune.scenes.shapes import Colour, Thing, block, placed

Rng = np.random.Generator
Floats = NDArray[np.float64]

_LANE = 3.4
_LONG = 400.0


@dataclass(frozen=True, slots=True)
class Road:
    """A straight road through a point: half its width and its heading, with `lanes` a side; metres, radians."""

    x: float
    y: float
    heading: float
    lanes: int

    @property
    def half(self) -> float:
        """Half the width between kerbs."""
        return self.lanes * _LANE + 0.4

    def point(self, along: float, across: float) -> tuple[float, float]:
        """Where that is on the map; across is positive on the right."""
        s, c = math.sin(self.heading), math.cos(self.heading)
        return self.x - s * along + c * across, self.y + c * along + s * across

    def offset(self, x: float, y: float) -> float:
        """Distance of a point from the middle line."""
        return abs((x - self.x) * math.cos(self.heading) + (y - self.y) * math.sin(self.heading))


@dataclass(slots=True)
class Layout:
    """A scene before it is drawn."""

    roads: list[Road]
    things: list[Thing] = field(default_factory=list)
    trees: list[tuple[float, float, float]] = field(default_factory=list)  # x, y, radius of the crown, m
    taken: list[tuple[float, float, float]] = field(default_factory=list)  # x, y, radius, m

    def free(self, x: float, y: float, radius: float) -> bool:
        """Whether nothing is within that of a point."""
        return all((x - a) ** 2 + (y - b) ** 2 > (radius + r) ** 2 for a, b, r in self.taken)

    def off_road(self, x: float, y: float, margin: float) -> bool:
        """Whether a point is beside every road by at least that."""
        return all(road.offset(x, y) > road.half + margin for road in self.roads)


_VEHICLES = ("car", "van", "truck", "bus", "motorcycle", "bicycle", "tricycle", "awning-tricycle")
_RADII = {"car": 2.2, "van": 2.7, "truck": 4.2, "bus": 6.0, "motorcycle": 0.9, "bicycle": 0.8, "tricycle": 1.4,
          "awning-tricycle": 1.4, "pedestrian": 0.25, "people": 0.35}  # fmt: skip


def lay_out(reach: float, rng: Rng) -> Layout:
    """A scene that fills a circle of `reach` m around the origin."""
    heading = rng.uniform(0, math.pi)
    roads = [Road(rng.uniform(-0.15, 0.15) * reach, rng.uniform(-0.15, 0.15) * reach, heading, int(rng.integers(1, 4)))]
    if rng.random() < 0.55:
        crossing = heading + math.pi / 2 + rng.uniform(-0.25, 0.25)
        roads.append(
            Road(rng.uniform(-0.4, 0.4) * reach, rng.uniform(-0.4, 0.4) * reach, crossing, int(rng.integers(1, 3)))
        )
    layout = Layout(roads)
    weights = rng.dirichlet(np.array([5.0, 1.8, 1.6, 1.8, 1.8, 2.4, 1.7, 1.7]))
    _traffic(layout, reach, weights, rng)
    _parked(layout, reach, rng)
    _walkers(layout, reach, rng)
    _surroundings(layout, reach, rng)
    return layout


def _add(  # noqa: PLR0913, PLR0917 - what, where, how
    layout: Layout, name: str, x: float, y: float, heading: float, rng: Rng
) -> None:
    layout.things.append(Thing(placed(MAKERS[name](rng), x, y, heading), name))
    layout.taken.append((x, y, _RADII[name]))


def _ridden(  # noqa: PLR0913, PLR0917 - what, where, how
    layout: Layout, name: str, x: float, y: float, heading: float, rng: Rng
) -> None:
    """A vehicle, and who rides it: on two or three wheels that is labelled `people`."""
    _add(layout, name, x, y, heading, rng)
    seats = {"motorcycle": (0.75, (-0.1, -0.55)), "bicycle": (0.85, (-0.2,)), "tricycle": (0.75, (0.25,))}
    if name in seats:
        height, places = seats[name]
        for place in places[: 1 if rng.random() < 0.7 else 2]:
            ax, ay = x - math.sin(heading) * place, y + math.cos(heading) * place
            layout.things.append(Thing(placed(people(rng, height - 0.1), ax, ay, heading), "people"))


def _traffic(layout: Layout, reach: float, weights: Floats, rng: Rng) -> None:
    dense = rng.uniform(7, 26)
    for road in layout.roads:
        for lane in range(-road.lanes, road.lanes):
            across = (lane + 0.5) * _LANE
            heading = road.heading + (0 if across > 0 else math.pi)
            along = -reach + rng.uniform(0, dense)
            while along < reach:
                name = str(rng.choice(_VEHICLES, p=weights))
                x, y = road.point(along, across + rng.uniform(-0.5, 0.5))
                if layout.free(x, y, _RADII[name]) and sum(r.offset(x, y) < r.half for r in layout.roads) == 1:
                    _ridden(layout, name, x, y, heading + rng.normal(0, 0.04), rng)
                along += _RADII[name] * 2 + rng.exponential(dense) + 0.8


def _parked(layout: Layout, reach: float, rng: Rng) -> None:
    for _ in range(int(rng.integers(2, 8))):
        road = layout.roads[rng.integers(len(layout.roads))]
        side, two_wheels = rng.choice((-1, 1)), rng.random() < 0.4
        names = (
            ("motorcycle", "bicycle", "bicycle", "tricycle", "awning-tricycle")
            if two_wheels
            else ("car", "car", "van", "truck")
        )
        step = 0.95 if two_wheels else 2.9
        across = side * (road.half + (1.6 if two_wheels else 3.4))
        start, along_kerb = rng.uniform(-reach, reach * 0.6), rng.random() < 0.3
        kind = str(rng.choice(names))
        for i in range(int(rng.integers(3, 14))):
            if rng.random() < 0.2:
                continue
            name = kind if rng.random() < 0.7 else str(rng.choice(names))
            spread = (5.6 if not two_wheels else 2.4) if along_kerb else step * (1.6 if "tricycle" in name else 1)
            x, y = road.point(start + i * max(spread, 2 * _RADII[name] * 0.62), across)
            turn = 0 if along_kerb else math.pi / 2
            if layout.free(x, y, _RADII[name] * 0.55) and layout.off_road(x, y, 0.8):
                _add(layout, name, x, y, road.heading + turn + rng.choice((0, math.pi)) + rng.normal(0, 0.06), rng)


def _walkers(layout: Layout, reach: float, rng: Rng) -> None:
    for _ in range(int(rng.integers(10, 70))):
        road = layout.roads[rng.integers(len(layout.roads))]
        beside = rng.random() < 0.75
        across = (
            rng.choice((-1, 1)) * (road.half + abs(rng.normal(1.5, 2.5)) + 0.4)
            if beside
            else rng.uniform(-1, 1) * road.half
        )
        x, y = road.point(rng.uniform(-1, 1) * reach, across)
        for _ in range(1 + int(rng.random() < 0.35) + int(rng.random() < 0.15)):
            px, py = x + rng.normal(0, 0.5), y + rng.normal(0, 0.5)
            if layout.free(px, py, 0.3):
                sits = rng.random() < 0.2 and beside
                heading = road.heading + rng.choice((0, math.pi)) + rng.normal(0, 0.5)
                _add(layout, "people" if sits else "pedestrian", px, py, heading, rng)


def _surroundings(layout: Layout, reach: float, rng: Rng) -> None:
    for _ in range(int(rng.integers(0, 40))):
        x, y = rng.uniform(-1.3, 1.3, 2) * reach
        if layout.off_road(x, y, 2.0) and layout.free(x, y, 0.6):
            layout.trees.append((float(x), float(y), float(rng.uniform(0.9, 3.0))))
    for _ in range(int(rng.integers(0, 8))):
        x, y = rng.uniform(-1.6, 1.6, 2) * reach
        w, length, h = rng.uniform(8, 22), rng.uniform(8, 30), rng.uniform(3, 16)
        half = math.hypot(w, length) / 2
        if layout.off_road(x, y, half + 4) and layout.free(x, y, half):
            wall: Colour = tuple(float(v) for v in rng.uniform(90, 210) * rng.uniform(0.85, 1.1, 3))  # type: ignore[assignment]
            roof: Colour = tuple(float(v) for v in rng.uniform(80, 190) * rng.uniform(0.8, 1.15, 3))  # type: ignore[assignment]
            solids = [block((w, length, h), (0, 0, 0), roof, sides=wall)]
            for _ in range(int(rng.integers(0, 6))):
                px, py = rng.uniform(-0.4, 0.4) * w, rng.uniform(-0.4, 0.4) * length
                solids.append(block((rng.uniform(1, 3), rng.uniform(1, 3), 0.8), (px, py, h), (150.0, 150.0, 152.0)))
            layout.things.append(Thing(placed(solids, x, y, layout.roads[0].heading), None))
            layout.taken.append((x, y, half))
    for road in layout.roads[:1]:
        if rng.random() < 0.6:
            for along in np.arange(-reach, reach, rng.uniform(15, 30)):
                x, y = road.point(float(along), road.half + 0.7)
                pole = [
                    block((0.16, 0.16, 7.0), (0, 0, 0), (95.0, 98.0, 100.0)),
                    block((1.6, 0.14, 0.1), (-0.8, 0, 7.0), (95.0, 98.0, 100.0)),
                ]
                layout.things.append(Thing(placed(pole, x, y, road.heading), None))
