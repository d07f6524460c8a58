"""Paints a map of the ground: surfaces, road markings, shadows."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from finetune.scenes.layout import Layout, Road
from finetune.scenes.solids import Floats

Rng = np.random.Generator
_PAINT = (225.0, 224.0, 216.0)


@dataclass(frozen=True, slots=True)
class Canvas:
    """A map with the origin at its centre and north at the top.

    Attributes:
        pixels: float32 [S, S, 3], RGB, 0..255.
        scale: px per metre.
    """

    pixels: NDArray[np.float32]
    scale: float

    def to_pixels(self, points: Floats) -> Floats:
        """Map pixels, float64 [n, 2], of points (x, y), float64 [n, 2]."""
        return (points * (1, -1)) * self.scale + self.pixels.shape[0] / 2

    def homography(self) -> Floats:
        """Homography from map pixels to points (x, y), float64 [3, 3]."""
        half = self.pixels.shape[0] / 2
        return np.array([[1 / self.scale, 0, -half / self.scale], [0, -1 / self.scale, half / self.scale], [0, 0, 1]])


def paint(layout: Layout, reach: float, side: int, rng: Rng) -> Canvas:
    """Paint the ground of a layout on a square map of `side` px that reaches `reach` m from the origin to each side."""
    base = np.array(((92, 108, 70), (128, 124, 112), (120, 108, 88), (150, 148, 142))[rng.integers(4)], np.float32)
    canvas = Canvas(np.empty((side, side, 3), np.float32), side / (2 * reach))
    canvas.pixels[:] = base * rng.uniform(0.7, 1.15)
    canvas.pixels[:] += clouds(side, rng)[..., None] * rng.uniform(8, 22)
    _patches(canvas, rng)
    pavement = np.array((152, 148, 142), np.float32) * rng.uniform(0.75, 1.2) * rng.uniform(0.96, 1.04, 3)
    asphalt = np.array((92, 93, 97), np.float32) * rng.uniform(0.6, 1.4) * rng.uniform(0.97, 1.03, 3)
    walk = rng.uniform(3, 9)
    for road in layout.roads:
        _strip(canvas, road, -road.half - walk, road.half + walk, tuple(pavement))
    if rng.random() < 0.7:
        _slabs(canvas, layout.roads, walk, pavement * rng.uniform(0.8, 0.92), rng)
    grain = clouds(side, rng)[..., None] * 5
    for road in layout.roads:
        _strip(canvas, road, -road.half - 0.25, road.half + 0.25, tuple(pavement * 1.15))
        _strip(canvas, road, -road.half, road.half, tuple(asphalt))
    for road in layout.roads:
        _markings(canvas, layout, road, rng)
    cv2.GaussianBlur(canvas.pixels, (0, 0), 0.7, canvas.pixels)  # anti-aliases the edges
    canvas.pixels[:] += grain + rng.normal(0, 4, (side, side, 1)).astype(np.float32)
    return canvas


def shade(canvas: Canvas, layout: Layout, sun: Floats, strength: float) -> None:
    """Draw the shadows of objects, houses and trees.

    Args:
        canvas: map to change in place.
        layout: the scene.
        sun: unit vector towards the sun, float64 [3].
        strength: share of the light that a shadow takes away, 0..1.
    """
    mask = np.zeros(canvas.pixels.shape[:2], np.uint8)
    solids = [solid for item in layout.objects for solid in item.solids]
    for solid in (*solids, *(house.body for house in layout.houses)):
        cast = solid.corners[:, :2] - solid.corners[:, 2:] * sun[:2] / sun[2]
        hull = cv2.convexHull(canvas.to_pixels(cast).round().astype(np.int32))
        cv2.fillConvexPoly(mask, hull, (255,))
    for tree in layout.trees:
        at = canvas.to_pixels(np.array([[tree.x, tree.y]]) - tree.middle * sun[:2] / sun[2])[0]
        cv2.circle(mask, (int(at[0]), int(at[1])), int(tree.radius * canvas.scale), (255,), -1)
    soft = cv2.GaussianBlur(mask, (0, 0), max(0.12 * canvas.scale, 0.6)).astype(np.float32) / 255
    canvas.pixels[:] *= 1 - strength * soft[..., None]


def clouds(side: int, rng: Rng) -> NDArray[np.float32]:
    """Smooth noise on several scales, mostly within -1..1, float32 [side, side]."""
    total = np.zeros((side, side), np.float32)
    for cells in (4, 16, 64):
        noise = rng.normal(0, 1, (cells, cells)).astype(np.float32)
        total += cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC) * (0.5 if cells > 4 else 0.7)
    return total


def _patches(canvas: Canvas, rng: Rng) -> None:
    """Paint flower beds, yards, slabs and manhole covers, which a detector must not take for objects."""
    side = canvas.pixels.shape[0]
    for _ in range(int(rng.integers(5, 60))):
        at, size = rng.uniform(0, side, 2), rng.lognormal(0.9, 0.8, 2) * canvas.scale
        corners = cv2.boxPoints(
            ((float(at[0]), float(at[1])), (float(size[0]), float(size[1])), float(rng.uniform(0, 90)))
        )
        colour = canvas.pixels[int(at[1]), int(at[0])] * rng.uniform(0.6, 1.4) * rng.uniform(0.92, 1.08, 3)
        cv2.fillConvexPoly(
            canvas.pixels, corners.round().astype(np.int32), tuple(float(c) for c in colour), cv2.LINE_AA
        )


def _strip(  # noqa: PLR0913, PLR0917
    canvas: Canvas,
    road: Road,
    left: float,
    right: float,
    colour: tuple[float, ...],
    ends: tuple[float, float] = (-400.0, 400.0),
) -> None:
    corners = np.array(
        [road.point(a, c) for a, c in ((ends[0], left), (ends[0], right), (ends[1], right), (ends[1], left))]
    )
    outline = (canvas.to_pixels(corners) * 16).round().astype(np.int32)  # in sixteenths of a pixel, for straight edges
    cv2.fillConvexPoly(canvas.pixels, outline, tuple(float(c) for c in colour), cv2.LINE_AA, 4)


def _slabs(canvas: Canvas, roads: list[Road], walk: float, joint: Floats, rng: Rng) -> None:
    """Paint the joints between the slabs of the pavement."""
    reach, step = canvas.pixels.shape[0] / canvas.scale / 2, rng.uniform(0.8, 2.2)
    for road in roads:
        for along in np.arange(-reach, reach, step):
            ends = (float(along), float(along) + 0.1)
            _strip(canvas, road, -road.half - walk, road.half + walk, tuple(joint), ends)
        for across in np.arange(road.half + step, road.half + walk, step):
            for side in (-1, 1):
                _strip(canvas, road, side * float(across), side * float(across) + 0.1, tuple(joint))


def _markings(canvas: Canvas, layout: Layout, road: Road, rng: Rng) -> None:
    reach = canvas.pixels.shape[0] / canvas.scale / 2
    others = [r for r in layout.roads if r is not road]

    def open_at(along: float, across: float) -> bool:
        x, y = road.point(along, across)
        return all(r.offset(x, y) > r.half for r in others)

    middle = _PAINT if rng.random() < 0.5 else (205.0, 170.0, 60.0)
    for lane in range(-road.lanes + 1, road.lanes):
        dash = math.inf if lane == 0 and rng.random() < 0.6 else 4.0
        for along in np.arange(-reach, reach, 6.0):
            length = 6.0 if dash == math.inf else dash
            if open_at(float(along), lane * 3.4):
                colour = middle if lane == 0 else _PAINT
                _strip(
                    canvas, road, lane * 3.4 - 0.08, lane * 3.4 + 0.08, colour, (float(along), float(along) + length)
                )
    for _ in range(int(rng.integers(0, 3))):
        along = float(rng.uniform(-0.6, 0.6)) * reach
        if open_at(along, 0):
            for across in np.arange(-road.half + 0.4, road.half - 0.4, 1.0):
                _strip(canvas, road, float(across), float(across) + 0.5, _PAINT, (along, along + 3.2))
