"""Merges the objects of a scene while its windows are read, row by row, and keeps only those that may still change.

Boxes are merged only with boxes that they touch. So groups of touching boxes that end above the next row of windows are
final: no later window shows anything of them. The result is that of merging all boxes of the scene at once.
"""

import numpy as np
from numpy.typing import NDArray

from sod_client._shared import merging
from sod_client._shared.detections import Detections
from sod_client._shared.merging import PART_GAP_PX, MergeOptions, near_pairs

_MARGIN_PX = PART_GAP_PX + 1


class MergingFront:
    """The objects of a scene: those that are final, and those that reach the front.

    Args:
        options: how objects are merged.
    """

    def __init__(self, options: MergeOptions) -> None:
        self._options = options
        self._open = Detections.empty()
        self._cut: NDArray[np.bool_] = np.zeros((0, 4), np.bool_)
        self._added: list[tuple[Detections, NDArray[np.bool_]]] = []
        self._final: list[Detections] = []

    @property
    def open(self) -> int:
        """The number of boxes that are not final."""
        return len(self._open) + sum(len(detections) for detections, _ in self._added)

    def add(self, detections: Detections, cut: NDArray[np.bool_]) -> None:
        """Add the boxes of a window, in pixels of the scene, and bool [N, 4], their sides that the window cuts."""
        if len(detections):
            self._added.append((detections, cut))

    def advance(self, front: float) -> None:
        """Note that no box will be added that begins above this y; merge what is final."""
        if self._added:
            self._open = Detections.joined([self._open, *(detections for detections, _ in self._added)])
            self._cut = np.concatenate([self._cut, *(cut for _, cut in self._added)])
            self._added.clear()
        if not len(self._open):
            return
        is_final = self._group_bottoms() + _MARGIN_PX < front
        if is_final.any():
            self._final.append(merging.merge(self._open.of(is_final), self._options, self._cut[is_final]))
            self._open, self._cut = self._open.of(~is_final), self._cut[~is_final]

    def finish(self) -> Detections:
        """All objects of the scene, by class id, and within a class by descending score."""
        self.advance(float("inf"))
        return merging.merge(Detections.joined(self._final), MergeOptions("none"))

    def _group_bottoms(self) -> NDArray[np.float32]:
        """The lower end of each box's group of boxes that touch, or whose common rectangles do; float32 [N]."""
        margin = np.array([-1, -1, 1, 1], np.float32) * _MARGIN_PX
        groups = np.zeros_like(self._open.class_ids) if self._options.class_agnostic else self._open.class_ids
        label = np.arange(len(groups))
        boxes = self._open.boxes + margin
        while True:
            one, two = near_pairs(boxes, groups)
            joined = _components(len(groups), one, two)
            label = joined[label]
            count = len(np.unique(joined))
            if count == len(groups):
                return np.asarray(boxes[label, 3])
            # Rectangles around groups become the boxes of the next round.
            names, positions = np.unique(joined, return_inverse=True)
            around = boxes[names].copy()
            np.minimum.at(around[:, :2], positions, boxes[:, :2])
            np.maximum.at(around[:, 2:], positions, boxes[:, 2:])
            boxes, groups = around, groups[names]
            label = np.searchsorted(names, label)


def _components(count: int, one: NDArray[np.intp], two: NDArray[np.intp]) -> NDArray[np.intp]:
    """The lowest index in each element's connected component, int [N]."""
    label = np.arange(count)
    while True:
        lowest = np.minimum(label[one], label[two])
        before = label.copy()
        np.minimum.at(label, one, lowest)
        np.minimum.at(label, two, lowest)
        np.minimum.at(label, before[one], lowest)
        np.minimum.at(label, before[two], lowest)
        label = label[label]
        if np.array_equal(label, before):
            return np.asarray(label)
