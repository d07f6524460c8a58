"""A pinhole camera over flat ground; metres, x east, y north, z up."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Camera:
    """Looks at the origin of the ground.

    Attributes:
        height: above the ground, m.
        pitch: of the line of sight below the horizon, radians, up to pi/2: straight down.
        yaw: direction of sight on the map, radians, 0 is north.
        focal: px.
        width, height_px: of the image.
    """

    height: float
    pitch: float
    yaw: float
    focal: float
    width: int
    height_px: int

    @property
    def axes(self) -> Floats:
        """Unit vectors right, down, forward, float64 [3, 3]."""
        sy, cy, sp, cp = math.sin(self.yaw), math.cos(self.yaw), math.sin(self.pitch), math.cos(self.pitch)
        return np.array([[cy, -sy, 0], [-sy * sp, -cy * sp, -cp], [sy * cp, cy * cp, -sp]])

    @property
    def position(self) -> Floats:
        """Where it is, float64 [3]."""
        back = self.height / math.tan(self.pitch)
        return np.array([-math.sin(self.yaw) * back, -math.cos(self.yaw) * back, self.height])

    def project(self, points: Floats) -> tuple[Floats, Floats]:
        """Pixels float64 [n, 2] and depths float64 [n] in m of points float64 [n, 3]; depth under 1 is not in view."""
        seen = (points - self.position) @ self.axes.T
        depth = np.maximum(seen[:, 2], 1e-3)
        centre = np.array([self.width / 2, self.height_px / 2])
        return seen[:, :2] / depth[:, None] * self.focal + centre, seen[:, 2]

    def ground(self) -> Floats:
        """Homography from (x, y) on the ground to pixels, float64 [3, 3]."""
        right, down, forward = self.axes
        rows = np.stack([right, down, forward])
        flat = np.column_stack([rows[:, 0], rows[:, 1], -rows @ self.position])
        lens = np.array([[self.focal, 0, self.width / 2], [0, self.focal, self.height_px / 2], [0, 0, 1]])
        return np.asarray(lens @ flat)

    def on_ground(self, pixels: Floats) -> Floats:
        """Points (x, y) of the ground under pixels float64 [n, 2] that lie below the horizon; float64 [n, 2]."""
        found = np.column_stack([pixels, np.ones(len(pixels))]) @ np.linalg.inv(self.ground()).T
        return np.asarray(found[:, :2] / found[:, 2:])
