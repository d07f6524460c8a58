"""A training data set in memory."""

from dataclasses import dataclass

from sod.datasets.dataset import LabelledImage


@dataclass(frozen=True, slots=True)
class TrainingDataset:
    """Class names by id, and the images of the training and the validation split."""

    names: tuple[str, ...]
    train: tuple[LabelledImage, ...]
    validation: tuple[LabelledImage, ...]
