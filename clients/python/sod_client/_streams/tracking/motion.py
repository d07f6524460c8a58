"""A Kalman filter of constant velocity for each side of a box.

State and noise follow ByteTrack and BoT-SORT: centre and size, whose noise grows with the object's size. The noise of
the four coordinates is independent, so that each is a filter of two numbers, value and velocity, and all are computed
at once. One thing differs, because small objects move by much of their length between two frames: a new object may have
any velocity that its size suggests, up to about a quarter of its length in each frame. On made streets with objects of
7 to 25 pixels, a velocity that changes half as fast as in ByteTrack kept more ids.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

POSITION = 1 / 20  # standard deviation of a measured coordinate, as a share of the size
VELOCITY = 1 / 320  # of the change of the velocity in one step
FIRST_VELOCITY = 1 / 8  # of a new object's velocity, for each step


@dataclass
class Motion:
    """The motion of T objects.

    Attributes:
        value: float64 [T, 4], centre x, centre y, width and height in pixels.
        velocity: float64 [T, 4], pixels in one step.
        variance: float64 [T, 3, 4]: of the value, of value and velocity, and of the velocity.
    """

    value: Floats
    velocity: Floats
    variance: Floats

    @classmethod
    def of(cls, boxes: Floats) -> "Motion":
        """That of new objects, of which boxes [T, 4] (x1, y1, x2, y2) were seen."""
        value = to_centre(boxes)
        scale = _scale(value)
        variance = np.stack([(2 * POSITION * scale) ** 2, np.zeros_like(value), (FIRST_VELOCITY * scale) ** 2], axis=1)
        variance[:, 2, 2:] = (20 * VELOCITY * scale[:, 2:]) ** 2  # sizes change slowly
        return cls(value, np.zeros_like(value), variance)

    def __len__(self) -> int:
        return len(self.value)

    def take(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> "Motion":
        """Some of the objects."""
        return Motion(self.value[which], self.velocity[which], self.variance[which])

    def with_(self, other: "Motion") -> "Motion":
        """These objects and then others."""
        return Motion(
            np.concatenate([self.value, other.value]),
            np.concatenate([self.velocity, other.velocity]),
            np.concatenate([self.variance, other.variance]),
        )

    def predict(self, steps: float) -> None:
        """Go on by a time, which is 1 for one frame of 25 in a second."""
        scale = _scale(self.value)
        self.value = self.value + steps * self.velocity
        self.value[:, 2:] = np.maximum(self.value[:, 2:], 1.0)
        pp, pv, vv = self.variance[:, 0], self.variance[:, 1], self.variance[:, 2]
        pp = pp + 2 * steps * pv + steps**2 * vv + steps * (POSITION * scale) ** 2
        pv = pv + steps * vv
        vv = vv + steps * (VELOCITY * scale) ** 2
        self.variance = np.stack([pp, pv, vv], axis=1)

    def stop_growing(self, which: NDArray[np.bool_]) -> None:
        """Let the sizes of some objects stay as they are, because the objects are not seen."""
        self.velocity[which, 2:] = 0.0

    def update(self, which: NDArray[np.intp], boxes: Floats) -> None:
        """Take in the boxes [P, 4] (x1, y1, x2, y2) of some objects [P]."""
        if not len(which):
            return
        value, variance = self.value[which], self.variance[which]
        pp, pv, vv = variance[:, 0], variance[:, 1], variance[:, 2]
        total = pp + (POSITION * _scale(value)) ** 2
        gain_p, gain_v = pp / total, pv / total
        missed = to_centre(boxes) - value
        self.value[which] = value + gain_p * missed
        self.velocity[which] = self.velocity[which] + gain_v * missed
        self.variance[which] = np.stack([pp - gain_p * pp, pv - gain_p * pv, vv - gain_v * pv], axis=1)

    def boxes(self) -> Floats:
        """float64 [T, 4], x1, y1, x2, y2."""
        half = np.maximum(self.value[:, 2:], 1.0) / 2
        return np.concatenate([self.value[:, :2] - half, self.value[:, :2] + half], axis=1)


def to_centre(boxes: Floats) -> Floats:
    """Centre x, centre y, width and height of boxes [N, 4] (x1, y1, x2, y2)."""
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)


def _scale(value: Floats) -> Floats:
    """The size that the noise of each coordinate [T, 4] grows with: the width for x, the height for y."""
    return np.maximum(value[:, [2, 3, 2, 3]], 1.0)
