"""The windows of a scene, row by row, so that those of a huge scene need not be in memory at once.

The grid is that of `slice_grid`; a test compares the two.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sod_client._shared.slicing import Slice


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

    def rows(self) -> Iterator[list[Slice]]:
        """The windows of one row after the other."""
        width, height = self._length(0), self._length(1)
        for row in range(self._count(1)):
            y = self._start(1, row)
            yield [Slice(self._start(0, column), y, width, height) for column in range(self._count(0))]

    def _length(self, axis: int) -> int:
        return min(self.window[axis], self.size[axis])

    def _step(self, axis: int) -> int:
        length = self._length(axis)
        return max(1, length - int(self.overlap[axis] * length))

    def _count(self, axis: int) -> int:
        return 1 - (self._length(axis) - self.size[axis]) // self._step(axis)  # 1 + ceil((size - length) / step)

    def _start(self, axis: int, index: int) -> int:
        return min(index * self._step(axis), self.size[axis] - self._length(axis))
