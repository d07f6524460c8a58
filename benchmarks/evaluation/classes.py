"""Match the classes of labels and of one or two models by name."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation.errors import EvaluationError
from sod.datasets.class_names import canonical
from sod.datasets.dataset import Dataset, LabelledImage
from sod.detections import Detections

Names = tuple[str, ...]
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Matched:
    """Labels and models under one list of classes.

    Attributes:
        dataset: the labels, with ids of `names`.
        names: the classes of the first model, then those that only the second has.
        known: bool [m, n]; whether model i has class j.
        labelled: bool [n]; whether the labels' list of classes has class j, with objects or without.
        mappings: for each model int64 [its classes], its class ids → ids of `names`.
    """

    dataset: Dataset
    names: Names
    known: NDArray[np.bool_]
    labelled: NDArray[np.bool_]
    mappings: tuple[Ids, ...]

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Whether every model has a class, bool [n]: only these are in the means."""
        return np.asarray(self.known.all(0))

    def only_one_has(self, titles: Sequence[str]) -> list[str]:
        """Sentences about the classes that only one of two models has, with the number of their labelled objects."""
        counts = np.zeros(len(self.names), int)
        for image in self.dataset.images:
            np.add.at(counts, image.class_ids, 1)
        lines = []
        for title, known in zip(titles, self.known, strict=True):
            only = np.nonzero(known & ~self.counted)[0].tolist()
            if only:
                classes = ", ".join(f"{self.names[i]} ({counts[i]:,} labelled)" for i in only)
                lines.append(f"Only {title} has {classes}: not in the means above.")
        return lines


def match(dataset: Dataset, models: Sequence[Sequence[str]]) -> Matched:
    """Match the classes of the labels and of the models by name.

    Labels without class names have the first model's ids.

    Args:
        dataset: the labels.
        models: the class names of one or two models, by class id.

    Raises:
        EvaluationError: the labels use a class that no model has, or no class is common to the labels and the models.
    """
    names: list[str] = []
    for model in models:
        names += [name for name in model if _find(name, names) < 0]
    mappings = tuple(np.array([_find(name, names) for name in model], np.int64) for model in models)
    known = np.zeros((len(models), len(names)), np.bool_)
    for row, mapping in zip(known, mappings, strict=True):
        row[mapping] = True
    own = tuple(models[0]) if dataset.class_names is None else dataset.class_names
    used = sorted({int(class_id) for image in dataset.images for class_id in np.unique(image.class_ids)})
    if used and used[-1] >= len(own):
        raise EvaluationError(
            f"the labels use class {used[-1]}, but the model has classes 0 to {len(own) - 1}: {', '.join(own)}; "
            "check the model, and the format of the labels (--format)"
        )
    mapping = np.array([_find(name, names) for name in own], np.int64)
    if unknown := [own[i] for i in used if mapping[i] < 0]:
        have = "it has" if len(models) == 1 else "they have"
        raise EvaluationError(
            f"the labels have classes that {'the model does' if len(models) == 1 else 'both models do'} not have: "
            f"{', '.join(unknown)}; {have} {', '.join(names)}"
        )
    if used and not known.all(0)[mapping[used]].any():
        lists = "; ".join(", ".join(model) for model in models)
        raise EvaluationError(f"the models have no labelled class in common, so they cannot be compared: {lists}")
    images = tuple(_renumbered(image, mapping) for image in dataset.images)
    labelled = np.isin(np.arange(len(names)), mapping)
    return Matched(Dataset(images, tuple(names)), tuple(names), known, labelled, mappings)


def align(dataset: Dataset, class_names: Sequence[str]) -> Dataset:
    """The labels with the ids of one model; raises what `match` raises."""
    return match(dataset, [class_names]).dataset


def renumbered(detections: Detections, mapping: Ids) -> Detections:
    """Detections of a model with the ids that its `Matched.mappings` gives."""
    return Detections(detections.boxes, detections.scores, mapping[detections.class_ids].astype(np.int32))


def _find(name: str, names: Sequence[str]) -> int:
    """The position of a name: as it is, else by its canonical form; -1 if it is not there."""
    if name in names:
        return list(names).index(name)
    return next((i for i, other in enumerate(names) if canonical(other) == canonical(name)), -1)


def _renumbered(image: LabelledImage, mapping: Ids) -> LabelledImage:
    unlabelled = frozenset(int(mapping[i]) for i in image.unlabelled if mapping[i] >= 0)
    return replace(image, class_ids=mapping[image.class_ids], unlabelled=unlabelled)
