"""The windows of a scene: the slices of the server, row by row."""

from collections.abc import Iterator
from dataclasses import dataclass

from sod_client._shared.slicing import Slice, count_slices, slice_rows


@dataclass(frozen=True)
class Grid:
    """Windows that cover a scene, as `slice_rows` makes them.

    Attributes:
        size: (width, height) of the scene in pixels.
        window: (width, height) of a window in pixels.
        overlap: share of a window that its neighbour covers too, (horizontal, vertical), each from 0 to below 1.
    """

    size: tuple[int, int]
    window: tuple[int, int]
    overlap: tuple[float, float]

    def __len__(self) -> int:
        return count_slices(self.size, self.window, self.overlap)

    def rows(self) -> Iterator[list[Slice]]:
        """The windows of one row after the other."""
        return slice_rows(self.size, self.window, self.overlap)
