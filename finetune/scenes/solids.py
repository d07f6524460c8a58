"""Solids with flat faces, of which all objects in a scene consist."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Colour = tuple[float, float, float]  # RGB, 0..255

FACES = np.array(
    [[4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]]
)  # top, right, front, left, back


@dataclass(frozen=True, slots=True)
class Solid:
    """A solid with six faces, of which the bottom is never visible.

    Attributes:
        corners: float64 [8, 3]: bottom, then top, each counter-clockwise from the right back corner.
        colours: colour of each of FACES.
    """

    corners: Floats
    colours: tuple[Colour, ...]

    def seen_from(self, eye: Floats) -> Iterator[tuple[int, Floats]]:
        """Yield index and outward normal of each of FACES that is visible from a point float64 [3]."""
        for number, face in enumerate(FACES):
            a, b, c = self.corners[face[[0, 1, 3]]]
            normal = np.cross(b - a, c - a)
            if normal @ (eye - self.corners[face].mean(0)) > 0:
                yield number, normal


@dataclass(frozen=True, slots=True)
class SceneObject:
    """An object in the scene: its solids, and the name of its class; None for objects without a label."""

    solids: tuple[Solid, ...]
    class_name: str | None


def block(  # noqa: PLR0913, PLR0917
    size: tuple[float, float, float],
    at: tuple[float, float, float],
    colour: Colour,
    top: tuple[float, float] = (1.0, 1.0),
    shift: float = 0.0,
    sides: Colour | None = None,
    front: Colour | None = None,
) -> Solid:
    """A box, or a frustum.

    Args:
        size: width (x), length (y) and height, m.
        at: centre of the bottom, m.
        colour: colour of the top, and of the other faces unless `sides` is given.
        top: width and length of the top as shares of the bottom's.
        shift: distance by which the top is moved towards the front, m.
        sides: colour of all faces except the top.
        front: colour of the front face.
    """
    w, length, h = size[0] / 2, size[1] / 2, size[2]
    ring = np.array([[w, -length, 0], [w, length, 0], [-w, length, 0], [-w, -length, 0]])
    upper = ring * (top[0], top[1], 0) + (0, shift, h)
    around = sides or colour
    return Solid(np.vstack([ring, upper]) + at, (colour, around, front or around, around, around))


def placed(solids: list[Solid], x: float, y: float, heading: float) -> tuple[Solid, ...]:
    """The solids, turned so that their front faces the heading (radians, 0 is north), and moved to (x, y)."""
    s, c = np.sin(heading), np.cos(heading)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return tuple(Solid(solid.corners @ turn + (x, y, 0), solid.colours) for solid in solids)
