"""The result of detection on one image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Detections:
    """Detected objects of one image, by class id ascending, then score descending.

    Attributes:
        boxes: float32 [M, 4], xyxy in pixels of the source image; may reach past its edges.
        scores: float32 [M], 0..1.
        class_ids: int32 [M].
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.scores)

    def best(self, count: int) -> "Detections":
        """The `count` objects with the highest scores over all classes, in the same order; of equals, the earlier."""
        if len(self) <= count:
            return self
        kept = np.sort(np.argsort(-self.scores, kind="stable")[:count])
        return Detections(self.boxes[kept], self.scores[kept], self.class_ids[kept])

    @classmethod
    def empty(cls) -> "Detections":
        """No object at all."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))
