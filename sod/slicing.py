"""Slices of a large image: views of equal size that overlap, so that small objects keep their pixels in the detector.

Source: sliced inference as in PaddleDetection (`--slice_infer`) and SAHI (Akyon et al., 2022, arXiv:2202.06934).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A box that ends within so many pixels of a slice's border is taken for one that the border cuts.
_BORDER_PX = 2.0
# With `slice: "auto"` an image is sliced if a side is longer than this many times the detector's input.
_LARGE = 1.5


@dataclass(frozen=True, slots=True)
class Slice:
    """A rectangle of the source image, in its pixels.

    Attributes:
        x: Left edge.
        y: Upper edge.
        width: Width, at least 1.
        height: Height, at least 1.
    """

    x: int
    y: int
    width: int
    height: int

    def view(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The pixels, uint8 [height, width, 3], without a copy."""
        return image[self.y : self.y + self.height, self.x : self.x + self.width]

    def to_source(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes of the slice, float32 [N, 4] xyxy, in pixels of the source image."""
        return boxes + np.array([self.x, self.y, self.x, self.y], np.float32)

    def cut_sides(self, boxes: NDArray[np.float32], image_size: tuple[int, int]) -> NDArray[np.bool_]:
        """Which sides of the boxes lie on a border of this slice that is none of the image.

        Args:
            boxes: float32 [N, 4], xyxy in pixels of the source image.
            image_size: (width, height) of the source image.

        Returns:
            bool [N, 4]: left, top, right, bottom.
        """
        right, bottom = self.x + self.width, self.y + self.height
        inner = np.array([self.x > 0, self.y > 0, right < image_size[0], bottom < image_size[1]])
        near = np.empty((len(boxes), 4), np.bool_)
        near[:, :2] = boxes[:, :2] <= np.array([self.x, self.y], np.float32) + _BORDER_PX
        near[:, 2:] = boxes[:, 2:] >= np.array([right, bottom], np.float32) - _BORDER_PX
        return np.asarray(near & inner)


def is_large(image_size: tuple[int, int], input_size: tuple[int, int]) -> bool:
    """Whether `auto` slices an image.

    Args:
        image_size: (width, height) of the image in pixels.
        input_size: (width, height) of the detector's input.
    """
    return image_size[0] > _LARGE * input_size[0] or image_size[1] > _LARGE * input_size[1]


def slice_grid(image_size: tuple[int, int], size: tuple[int, int], overlap: tuple[float, float]) -> list[Slice]:
    """The slices that cover an image, row by row, as `slice_rows` makes them."""
    return [one for row in slice_rows(image_size, size, overlap) for one in row]


def slice_rows(
    image_size: tuple[int, int], size: tuple[int, int], overlap: tuple[float, float]
) -> Iterator[list[Slice]]:
    """The slices that cover an image, one row after the other, so that those of a huge image need not exist at once.

    All have the same size: the last one of a row or column is moved back to the border and overlaps its neighbour more,
    and a slice larger than the image is as large as the image.

    Args:
        image_size: (width, height) of the image in pixels.
        size: (width, height) of a slice in pixels.
        overlap: Share of a slice that its neighbour covers too, (horizontal, vertical), each from 0 to below 1.
    """
    width, height = min(size[0], image_size[0]), min(size[1], image_size[1])
    columns = _starts(image_size[0], width, overlap[0])
    for y in _starts(image_size[1], height, overlap[1]):
        yield [Slice(x, y, width, height) for x in columns]


def count_slices(image_size: tuple[int, int], size: tuple[int, int], overlap: tuple[float, float]) -> int:
    """The number of slices of `slice_grid`, without making them."""
    return _count(image_size[0], min(size[0], image_size[0]), overlap[0]) * _count(
        image_size[1], min(size[1], image_size[1]), overlap[1]
    )


def _step(length: int, overlap: float) -> int:
    return max(1, length - int(overlap * length))


def _count(total: int, length: int, overlap: float) -> int:
    return 1 - (length - total) // _step(length, overlap)  # 1 + ceil((total - length) / step)


def _starts(total: int, length: int, overlap: float) -> list[int]:
    step = _step(length, overlap)
    return [min(index * step, total - length) for index in range(_count(total, length, overlap))]
