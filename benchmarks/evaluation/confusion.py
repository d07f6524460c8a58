"""Which class a detector takes the labelled objects for.

Source: the confusion matrix of ultralytics (`ultralytics/utils/metrics.py`): detections over a score threshold are
matched with the labels one to one whatever their classes, the pairs with the largest IoU first; labels and detections
without a match belong to the background. Its rows are ultralytics' columns: each row is one labelled class.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation.metrics import counting
from sod.datasets.dataset import Boxes, Dataset
from sod.detections import Detections
from sod.matching import box_iou

BACKGROUND = "background"
# The defaults of ultralytics.
MIN_SCORE, MIN_IOU = 0.25, 0.45
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ConfusionMatrix:
    """Labelled and detected classes of the matched objects.

    Attributes:
        counts: int64 [n + 1, n + 1]; row: the labelled class, column: the detected class; the last row holds the
            detections without a label, the last column the labels without a detection.
        names: the n classes.
        min_score: detections with at least this score count.
        min_iou: a detection and a label match over this IoU.
    """

    counts: Counts
    names: tuple[str, ...]
    min_score: float
    min_iou: float

    @property
    def shares(self) -> NDArray[np.float64]:
        """The counts over the sum of their row, float64 [n + 1, n + 1]; a row without an object is 0."""
        sums = self.counts.sum(axis=1, keepdims=True)
        return np.divide(self.counts, sums, out=np.zeros(self.counts.shape), where=sums > 0)

    @property
    def rows(self) -> list[int]:
        """The classes with a labelled object, and the background."""
        return _occurring(self.counts.sum(axis=1))

    @property
    def columns(self) -> list[int]:
        """The classes that are labelled or detected, and the background."""
        return _occurring(self.counts.sum(axis=0) + self.counts.sum(axis=1))

    def name(self, index: int) -> str:
        """The name of a row or column."""
        return self.names[index] if index < len(self.names) else BACKGROUND


def confusion_matrix(  # noqa: PLR0913 - what is compared, and what counts, by name
    dataset: Dataset,
    detections: Sequence[Detections],
    class_names: Sequence[str],
    *,
    min_score: float = MIN_SCORE,
    min_iou: float = MIN_IOU,
    labelled_classes: NDArray[np.bool_] | None = None,
) -> ConfusionMatrix:
    """Count what the labelled objects are taken for.

    Detections in ignored regions do not count, nor do those without a label whose class the labels do not have.

    Args:
        dataset: images and labels, with ids of `class_names`.
        detections: of each image, in the order of the images, with ids of `class_names`.
        class_names: by class id.
        min_score: detections with a lower score do not count.
        min_iou: a detection and a label match over this IoU.
        labelled_classes: bool [n]; the classes that the labels have; None means all.
    """
    background = len(class_names)
    known = np.ones(background, np.bool_) if labelled_classes is None else labelled_classes
    counts: Counts = np.zeros((background + 1, background + 1), np.int64)
    for image, found in zip(dataset.images, detections, strict=True):
        labelled = ~np.isin(image.class_ids, list(image.unlabelled))
        boxes, class_ids = image.boxes[labelled], image.class_ids[labelled]
        keep = counting(found, image) & (found.scores >= min_score)
        found_ids = found.class_ids[keep]
        label, detection = _matches(boxes, found.boxes[keep], min_iou)
        np.add.at(counts, (class_ids[label], found_ids[detection]), 1)
        np.add.at(counts[:, background], np.delete(class_ids, label), 1)
        false_alarms = np.delete(found_ids, detection)
        np.add.at(counts[background], false_alarms[known[false_alarms]], 1)
    return ConfusionMatrix(counts, tuple(class_names), min_score, min_iou)


def _occurring(objects: Counts) -> list[int]:
    return [*np.flatnonzero(objects[:-1] > 0).tolist(), len(objects) - 1]


def _matches(labels: Boxes, found: Boxes, min_iou: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """One-to-one pairs of boxes, those with the largest IoU first: indices of labels and of detections."""
    overlaps = box_iou(labels, found)
    pairs: list[tuple[int, int]] = []
    free_labels, free_found = np.ones(len(labels), np.bool_), np.ones(len(found), np.bool_)
    over = np.argwhere(overlaps > min_iou)
    for label, detection in over[np.argsort(-overlaps[over[:, 0], over[:, 1]], kind="stable")].tolist():
        if free_labels[label] and free_found[detection]:
            free_labels[label] = free_found[detection] = False
            pairs.append((label, detection))
    table = np.array(pairs, np.intp).reshape(-1, 2)
    return table[:, 0], table[:, 1]
