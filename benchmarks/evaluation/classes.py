"""The labels' classes in the model's order."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation.datasets import Dataset, Sample
from benchmarks.evaluation.errors import EvaluationError

# VisDrone's own name → the models'.
_ALIASES = {"motor": "motorcycle"}


def align(dataset: Dataset, class_names: Sequence[str]) -> Dataset:
    """The dataset with its class ids as the model's: by name where the labels have names, else as they are.

    Raises:
        EvaluationError: the labels have a class that the model has not.
    """
    if dataset.class_names is None:
        highest = max(int(s.labels.class_ids.max(initial=-1)) for s in dataset.samples)
        if highest >= len(class_names):
            raise EvaluationError(
                f"the labels use class {highest}, and the model has 0 to {len(class_names) - 1}: "
                f"{', '.join(class_names)}; is this the right model, or the right form of labels (--format)?"
            )
        return dataset
    order = {name.lower(): index for index, name in enumerate(class_names)}
    used = {int(class_id) for sample in dataset.samples for class_id in np.unique(sample.labels.class_ids)}
    mapping = np.full(len(dataset.class_names), -1, np.int32)
    for index, name in enumerate(dataset.class_names):
        mapping[index] = order.get(_ALIASES.get(name.lower(), name.lower()), -1)
    if unknown := [dataset.class_names[index] for index in sorted(used) if mapping[index] < 0]:
        raise EvaluationError(
            f"the labels have classes that the model has not: {', '.join(unknown)}; it has {', '.join(class_names)}"
        )
    return Dataset(tuple(_renumbered(sample, mapping) for sample in dataset.samples), tuple(class_names))


def _renumbered(sample: Sample, mapping: NDArray[np.int32]) -> Sample:
    return replace(sample, labels=replace(sample.labels, class_ids=mapping[sample.labels.class_ids]))
