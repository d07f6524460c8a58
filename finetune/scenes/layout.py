"""Places roads, traffic, parked vehicles, people, trees and houses around the origin."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from finetune.scenes.houses import Footprint, House, hides_the_view, house
from finetune.scenes.objects import MAKERS, people
from finetune.scenes.solids import SceneObject, block, placed

Rng = np.random.Generator
Floats = NDArray[np.float64]

_LANE = 3.4  # m, width


@dataclass(frozen=True, slots=True)
class Road:
    """A straight road.

    Attributes:
        x: a point on its centre line, m.
        y: the same point, m.
        heading: radians, 0 is north.
        lanes: number of lanes in each direction.
    """

    x: float
    y: float
    heading: float
    lanes: int

    @property
    def half(self) -> float:
        """Half the width between the kerbs, m."""
        return self.lanes * _LANE + 0.4

    def point(self, along: float, across: float) -> tuple[float, float]:
        """Point (x, y) at a distance along the road and across it, m; across is positive to the right."""
        s, c = math.sin(self.heading), math.cos(self.heading)
        return self.x - s * along + c * across, self.y + c * along + s * across

    def offset(self, x: float, y: float) -> float:
        """Distance of a point from the centre line, m."""
        return abs((x - self.x) * math.cos(self.heading) + (y - self.y) * math.sin(self.heading))


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree or a bush.

    Attributes:
        x: position, m.
        y: position, m.
        radius: radius of the crown, m.
        middle: height of the crown's centre, m.
        stretch: ratio of the crown's height to its width.
    """

    x: float
    y: float
    radius: float
    middle: float
    stretch: float


@dataclass(slots=True)
class Layout:
    """The contents of a scene.

    Attributes:
        roads: they cross near the origin.
        objects: vehicles, people, and street furniture.
        houses: along the roads.
        trees: trees and bushes.
        taken: circles (x, y, radius) that objects occupy, m.
    """

    roads: list[Road]
    objects: list[SceneObject] = field(default_factory=list)
    houses: list[House] = field(default_factory=list)
    trees: list[Tree] = field(default_factory=list)
    taken: list[tuple[float, float, float]] = field(default_factory=list)

    def free(self, x: float, y: float, radius: float) -> bool:
        """Whether no object or house is within a radius around a point, m."""
        return all((x - a) ** 2 + (y - b) ** 2 > (radius + r) ** 2 for a, b, r in self.taken) and all(
            h.footprint.beyond(x, y) > radius for h in self.houses
        )

    def off_road(self, x: float, y: float, margin: float) -> bool:
        """Whether a point is at least `margin` m away from every road."""
        return all(road.offset(x, y) > road.half + margin for road in self.roads)


_VEHICLES = ("car", "van", "truck", "bus", "motorcycle", "bicycle", "tricycle", "awning-tricycle")
# Radius of the circle that an object occupies, m.
_RADII = {"car": 2.2, "van": 2.7, "truck": 4.2, "bus": 6.0, "motorcycle": 0.9, "bicycle": 0.8, "tricycle": 1.4,
          "awning-tricycle": 1.4, "pedestrian": 0.25, "people": 0.35}  # fmt: skip


def lay_out(reach: float, camera: Floats, rng: Rng) -> Layout:
    """A random scene.

    Args:
        reach: radius of the circle around the origin that the scene fills, m.
        camera: position of the camera, float64 [3]; no house blocks its view.
        rng: source of all random choices.
    """
    heading = rng.uniform(0, math.pi)
    roads = [Road(rng.uniform(-0.15, 0.15) * reach, rng.uniform(-0.15, 0.15) * reach, heading, int(rng.integers(1, 4)))]
    if rng.random() < 0.55:
        crossing = heading + math.pi / 2 + rng.uniform(-0.25, 0.25)
        roads.append(
            Road(rng.uniform(-0.4, 0.4) * reach, rng.uniform(-0.4, 0.4) * reach, crossing, int(rng.integers(1, 3)))
        )
    layout = Layout(roads)
    if rng.random() < 0.85:
        _houses(layout, reach, camera, rng)
    weights = rng.dirichlet(np.array([6.0, 2.4, 2.0, 2.2, 2.6, 2.6, 2.4, 2.4]))
    _traffic(layout, reach, weights, rng)
    _parked(layout, reach, rng)
    _walkers(layout, reach, rng)
    _surroundings(layout, reach, rng)
    return layout


def _add(  # noqa: PLR0913, PLR0917
    layout: Layout, name: str, x: float, y: float, heading: float, rng: Rng
) -> None:
    layout.objects.append(SceneObject(placed(MAKERS[name](rng), x, y, heading), name))
    layout.taken.append((x, y, _RADII[name]))


def _ridden(  # noqa: PLR0913, PLR0917
    layout: Layout, name: str, x: float, y: float, heading: float, rng: Rng
) -> None:
    """Add a vehicle, and its riders if it has two or three wheels; riders are labelled `people`."""
    _add(layout, name, x, y, heading, rng)
    seats = {"motorcycle": (0.75, (-0.1, -0.55)), "bicycle": (0.85, (-0.2,)), "tricycle": (0.75, (0.25,))}
    if name in seats:
        height, places = seats[name]
        for place in places[: 1 if rng.random() < 0.7 else 2]:
            ax, ay = x - math.sin(heading) * place, y + math.cos(heading) * place
            layout.objects.append(SceneObject(placed(people(rng, height - 0.1), ax, ay, heading), "people"))


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
    for _ in range(int(rng.integers(3, 11))):
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
    for _ in range(int(rng.integers(8, 40))):
        road = layout.roads[rng.integers(len(layout.roads))]
        beside = rng.random() < 0.75
        across = (
            rng.choice((-1, 1)) * (road.half + abs(rng.normal(1.5, 2.5)) + 0.4)
            if beside
            else rng.uniform(-1, 1) * road.half
        )
        x, y = road.point(rng.uniform(-1, 1) * min(reach, 70.0), across)
        if beside and rng.random() < 0.25:
            _bench(layout, x, y, rng.uniform(0, 2 * math.pi), rng)
            continue
        for _ in range(1 + int(rng.random() < 0.35) + int(rng.random() < 0.15)):
            px, py = x + rng.normal(0, 0.5), y + rng.normal(0, 0.5)
            if layout.free(px, py, 0.3):
                heading = road.heading + rng.choice((0, math.pi)) + rng.normal(0, 0.5)
                _add(layout, "pedestrian", px, py, heading, rng)


def _bench(layout: Layout, x: float, y: float, heading: float, rng: Rng) -> None:
    """Add a bench or a seat without a back, with one to three people on it."""
    if not layout.free(x, y, 1.1) or not layout.off_road(x, y, 0.5):
        return
    wood = (float(rng.uniform(90, 170)), float(rng.uniform(70, 120)), float(rng.uniform(50, 90)))
    seat = [block((2.0, 0.5, 0.4), (0, -0.1, 0), wood), block((2.0, 0.08, 0.45), (0, -0.36, 0.4), wood)]
    layout.objects.append(SceneObject(placed(seat[: rng.integers(1, 3)], x, y, heading), None))
    for place in rng.permutation((-0.65, 0.0, 0.65))[: rng.integers(1, 4)]:
        px, py = x + math.cos(heading) * float(place), y + math.sin(heading) * float(place)
        layout.objects.append(SceneObject(placed(people(rng, 0.4), px, py, heading), "people"))
    layout.taken.append((x, y, 1.1))


def _houses(layout: Layout, reach: float, camera: Floats, rng: Rng) -> None:
    """Add rows of houses along the roads, with gaps, and some houses behind them."""
    tall = rng.uniform(4, 20)
    for road in layout.roads:
        for side in (-1, 1):
            if rng.random() < 0.1:
                continue
            setback = rng.uniform(3.5, 9)
            along = -reach * 1.1
            while along < reach * 1.1:
                length, width = rng.uniform(8, 26), rng.uniform(7, 14)
                height = max(tall * rng.uniform(0.6, 1.3), 3.2)
                if rng.random() < 0.8:
                    _build(layout, road, (along + length / 2, side, setback), (width, length, height), camera, rng)
                if rng.random() < 0.5:
                    behind = setback + width + rng.uniform(5, 14)
                    _build(layout, road, (along + length / 2, side, behind), (width, length, height), camera, rng)
                along += length + (0.3 if rng.random() < 0.6 else rng.uniform(2, 14))


def _build(  # noqa: PLR0913, PLR0917
    layout: Layout,
    road: Road,
    at: tuple[float, int, float],
    size: tuple[float, float, float],
    camera: Floats,
    rng: Rng,
) -> None:
    """Add a house beside a road if its place is free.

    Args:
        layout: scene to add to.
        road: the road.
        at: position along the road in m, side (-1 or 1), and distance from the kerb in m.
        size: width, length and height, m.
        camera: position of the camera, float64 [3].
        rng: source of all random choices.
    """
    x, y = road.point(at[0], at[1] * (road.half + at[2] + size[0] / 2))
    plan = Footprint(x, y, road.heading, size[0] / 2, size[1] / 2)
    points = plan.points()
    if hides_the_view(plan, size[2], camera) or not all(layout.off_road(a, b, 2.5) for a, b in points):
        return
    if any(h.footprint.beyond(a, b) < 0.2 for h in layout.houses for a, b in points):
        return
    if any(plan.beyond(a, b) < 0.2 for h in layout.houses for a, b in h.footprint.points()):
        return
    built, out = house(plan, size[2], rng)
    layout.houses.append(built)
    layout.objects += out


def _surroundings(layout: Layout, reach: float, rng: Rng) -> None:
    for _ in range(int(rng.integers(0, 80))):
        x, y = rng.uniform(-1.3, 1.3, 2) * reach
        if layout.off_road(x, y, 2.0) and layout.free(x, y, 0.6):
            layout.trees.append(_tree(float(x), float(y), rng))
    for road in layout.roads:
        if rng.random() < 0.35:
            side = rng.choice((-1, 1))
            for along in np.arange(-reach, reach, rng.uniform(5, 12)):
                x, y = road.point(float(along + rng.normal(0, 0.4)), side * (road.half + 1.4))
                if layout.free(x, y, 0.3) and layout.off_road(x, y, 0.7):
                    layout.trees.append(_tree(x, y, rng))
    for road in layout.roads[:1]:
        if rng.random() < 0.6:
            for along in np.arange(-reach, reach, rng.uniform(15, 30)):
                x, y = road.point(float(along), road.half + 0.7)
                pole = [
                    block((0.16, 0.16, 7.0), (0, 0, 0), (95.0, 98.0, 100.0)),
                    block((1.6, 0.14, 0.1), (-0.8, 0, 7.0), (95.0, 98.0, 100.0)),
                ]
                layout.objects.append(SceneObject(placed(pole, x, y, road.heading), None))


def _tree(x: float, y: float, rng: Rng) -> Tree:
    if rng.random() < 0.3:  # a bush
        radius = float(rng.uniform(0.4, 1.2))
        return Tree(x, y, radius, radius * 0.6, float(rng.uniform(0.6, 1.0)))
    radius = float(rng.uniform(0.9, 3.0))
    stretch = float(rng.uniform(0.8, 1.2) if rng.random() < 0.6 else rng.uniform(1.3, 2.4))
    return Tree(x, y, radius, 1.2 + radius * stretch * 0.9, stretch)
