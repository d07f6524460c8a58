"""Map the class ids of labels to those of the model."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation.datasets import Dataset, Sample
from benchmarks.evaluation.errors import EvaluationError

# The name in VisDrone → the name in the models.
_ALIASES = {"motor": "motorcycle"}


def align(dataset: Dataset, class_names: Sequence[str]) -> Dataset:
    """The dataset with the model's class ids.

    Classes are mapped by name. Labels without names keep their ids.

    Args:
        dataset: the labels.
        class_names: of the model, by class id.

    Raises:
        EvaluationError: the labels use a class that the model does not have.
    """
    if dataset.class_names is None:
        highest = max(int(s.labels.class_ids.max(initial=-1)) for s in dataset.samples)
        if highest >= len(class_names):
            raise EvaluationError(
                f"the labels use class {highest}, but the model has classes 0 to {len(class_names) - 1}: "
                f"{', '.join(class_names)}; check the model, and the format of the labels (--format)"
            )
        return dataset
    order = {name.lower(): index for index, name in enumerate(class_names)}
    used = {int(class_id) for sample in dataset.samples for class_id in np.unique(sample.labels.class_ids)}
    mapping = np.full(len(dataset.class_names), -1, np.int32)
    for index, name in enumerate(dataset.class_names):
        mapping[index] = order.get(_ALIASES.get(name.lower(), name.lower()), -1)
    if unknown := [dataset.class_names[index] for index in sorted(used) if mapping[index] < 0]:
        raise EvaluationError(
            f"the labels have classes that the model does not have: {', '.join(unknown)}; "
            f"it has {', '.join(class_names)}"
        )
    return Dataset(tuple(_renumbered(sample, mapping) for sample in dataset.samples), tuple(class_names))


def _renumbered(sample: Sample, mapping: NDArray[np.int32]) -> Sample:
    return replace(sample, labels=replace(sample.labels, class_ids=mapping[sample.labels.class_ids]))
