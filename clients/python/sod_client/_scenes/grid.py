"""The windows of a scene, in the order in which they are read.

The grid is that of the server's `sod/slicing.py`, of which this is a copy, since the client depends on no package of
the server. A test compares the two.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A box that ends within so many pixels of a window's border is taken for one that the border cuts.
_BORDER_PX = 2.0


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of the scene, in its pixels.

    Attributes:
        x: left edge.
        y: upper edge.
        width: width, at least 1.
        height: height, at least 1.
    """

    x: int
    y: int
    width: int
    height: int

    def cut_sides(self, boxes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.bool_]:
        """Which sides of the boxes lie on a border of this window that is none of the scene.

        Args:
            boxes: float32 [N, 4], xyxy in pixels of the scene.
            size: (width, height) of the scene.

        Returns:
            bool [N, 4]: left, top, right, bottom.
        """
        right, bottom = self.x + self.width, self.y + self.height
        inner = np.array([self.x > 0, self.y > 0, right < size[0], bottom < size[1]])
        near = np.empty((len(boxes), 4), np.bool_)
        near[:, :2] = boxes[:, :2] <= np.array([self.x, self.y], np.float32) + _BORDER_PX
        near[:, 2:] = boxes[:, 2:] >= np.array([right, bottom], np.float32) - _BORDER_PX
        return np.asarray(near & inner)


@dataclass(frozen=True)
class Grid:
    """Windows that cover a scene, row by row.

    All have the same size: the last one of a row or column is moved back to the border and overlaps its neighbour more,
    and a window larger than the scene is as large as the scene.

    Attributes:
        size: (width, height) of the scene in pixels.
        window: (width, height) of a window in pixels.
        overlap: share of a window that its neighbour covers too, (horizontal, vertical), each from 0 to below 1.
    """

    size: tuple[int, int]
    window: tuple[int, int]
    overlap: tuple[float, float]

    def __len__(self) -> int:
        return self._count(0) * self._count(1)

    def rows(self) -> Iterator[list[Window]]:
        """The windows of one row after the other."""
        width, height = self._length(0), self._length(1)
        for row in range(self._count(1)):
            y = self._start(1, row)
            yield [Window(self._start(0, column), y, width, height) for column in range(self._count(0))]

    def _length(self, axis: int) -> int:
        return min(self.window[axis], self.size[axis])

    def _step(self, axis: int) -> int:
        length = self._length(axis)
        return max(1, length - int(self.overlap[axis] * length))

    def _count(self, axis: int) -> int:
        return 1 - (self._length(axis) - self.size[axis]) // self._step(axis)  # 1 + ceil((size - length) / step)

    def _start(self, axis: int, index: int) -> int:
        return min(index * self._step(axis), self.size[axis] - self._length(axis))
