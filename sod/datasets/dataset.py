"""Labelled images in memory."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]


def no_boxes() -> Boxes:
    """An empty array of boxes, float32 [0, 4]."""
    return np.zeros((0, 4), np.float32)


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image file and its labels.

    Attributes:
        image: path of the file.
        width: px, as displayed.
        height: px, as displayed.
        boxes: float32 [n, 4], xyxy in pixels, within the image.
        class_ids: int64 [n].
        ignored: float32 [k, 4]; what lies in these regions is neither labelled nor background.
        unlabelled: ids of classes that may appear in the image without a label.
    """

    image: Path
    width: int
    height: int
    boxes: Boxes
    class_ids: NDArray[np.int64]
    ignored: Boxes = field(default_factory=no_boxes)
    unlabelled: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled images, and the class names by id; None if the labels do not contain them."""

    images: tuple[LabelledImage, ...]
    class_names: tuple[str, ...] | None = None
