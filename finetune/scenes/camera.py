"""A pinhole camera over flat ground. World coordinates are in metres: x east, y north, z up."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera that looks at the origin of the ground.

    Attributes:
        height: height above the ground, m.
        pitch: angle of the line of sight below the horizon, radians; pi/2 is straight down.
        yaw: direction of the line of sight on the map, radians; 0 is north.
        focal: focal length, px.
        width: width of the image, px.
        height_px: height of the image, px.
    """

    height: float
    pitch: float
    yaw: float
    focal: float
    width: int
    height_px: int

    @property
    def axes(self) -> Floats:
        """Unit vectors to the right, down and forward, float64 [3, 3]."""
        sy, cy, sp, cp = math.sin(self.yaw), math.cos(self.yaw), math.sin(self.pitch), math.cos(self.pitch)
        return np.array([[cy, -sy, 0], [-sy * sp, -cy * sp, -cp], [sy * cp, cy * cp, -sp]])

    @property
    def position(self) -> Floats:
        """Position of the camera, float64 [3]."""
        back = self.height / math.tan(self.pitch)
        return np.array([-math.sin(self.yaw) * back, -math.cos(self.yaw) * back, self.height])

    def project(self, points: Floats) -> tuple[Floats, Floats]:
        """Project points float64 [n, 3].

        Returns:
            Pixels float64 [n, 2], and depths float64 [n] in m; points of depth below 1 are not in view.
        """
        relative = (points - self.position) @ self.axes.T
        depth = np.maximum(relative[:, 2], 1e-3)
        centre = np.array([self.width / 2, self.height_px / 2])
        return relative[:, :2] / depth[:, None] * self.focal + centre, relative[:, 2]

    def ground(self) -> Floats:
        """Homography from points (x, y) on the ground to pixels, float64 [3, 3]."""
        right, down, forward = self.axes
        axes = np.stack([right, down, forward])
        flat = np.column_stack([axes[:, 0], axes[:, 1], -axes @ self.position])
        intrinsics = np.array([[self.focal, 0, self.width / 2], [0, self.focal, self.height_px / 2], [0, 0, 1]])
        return np.asarray(intrinsics @ flat)

    def on_ground(self, pixels: Floats) -> Floats:
        """Points (x, y) on the ground, float64 [n, 2], that pixels float64 [n, 2] below the horizon show."""
        points = np.column_stack([pixels, np.ones(len(pixels))]) @ np.linalg.inv(self.ground()).T
        return np.asarray(points[:, :2] / points[:, 2:])
