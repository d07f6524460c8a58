"""A training data set in memory."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

VALIDATION_NAMES = ("val", "valid", "test")  # parts of file and folder names that mark the validation split


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image file and its labels.

    Attributes:
        image: path of the file.
        width: px, as displayed.
        height: px, as displayed.
        boxes: float32 [n, 4], xyxy in pixels, within the image.
        class_ids: int64 [n].
        unlabelled: ids of classes that may appear in the image without a label.
    """

    image: Path
    width: int
    height: int
    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    unlabelled: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class TrainingDataset:
    """Class names by id, and the images of the training and the validation split."""

    names: tuple[str, ...]
    train: tuple[LabelledImage, ...]
    validation: tuple[LabelledImage, ...]
