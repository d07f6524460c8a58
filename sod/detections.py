"""The result of detection on one image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Detections:
    """Detected objects of one image, sorted by class id ascending, then by score descending.

    Attributes:
        boxes: float32 [M, 4], xyxy in pixels of the source image; may extend beyond it.
        scores: float32 [M], 0..1.
        class_ids: int32 [M].
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.scores)

    def best(self, count: int) -> "Detections":
        """The `count` objects with the highest scores of all classes, in unchanged order; among ties the first."""
        if len(self) <= count:
            return self
        return self.of(np.sort(np.argsort(-self.scores, kind="stable")[:count]))

    def of(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> "Detections":
        """Those that a mask, bool [M], or indices choose."""
        return Detections(self.boxes[which], self.scores[which], self.class_ids[which])

    def with_area(self) -> "Detections":
        """The objects whose box has x2 > x1 and y2 > y1, in unchanged order.

        The distances that the detector predicts can be negative, which gives inverted boxes. PaddleX leaves them out
        after NMS (`restructured_boxes`). A coordinate that is NaN is kept, as there.
        """
        x1, y1, x2, y2 = self.boxes.T
        has_none = (x2 <= x1) | (y2 <= y1)
        if not has_none.any():
            return self
        return self.of(~has_none)

    @classmethod
    def empty(cls) -> "Detections":
        """An empty result."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))

    @classmethod
    def joined(cls, parts: Sequence["Detections"]) -> "Detections":
        """All of several results, in their order, not sorted."""
        if not parts:
            return cls.empty()
        return cls(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.class_ids for part in parts]),
        )
