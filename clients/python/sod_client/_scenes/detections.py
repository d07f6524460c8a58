"""Detected objects as arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Detections:
    """Detected objects.

    Attributes:
        boxes: float32 [N, 4], xyxy in pixels.
        scores: float32 [N], 0..1.
        class_ids: int32 [N].
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.scores)

    def of(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> "Detections":
        """Those that a mask, bool [N], or indices choose."""
        return Detections(self.boxes[which], self.scores[which], self.class_ids[which])

    @classmethod
    def empty(cls) -> "Detections":
        """None."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))

    @classmethod
    def joined(cls, parts: "list[Detections]") -> "Detections":
        """All of several, in order."""
        if not parts:
            return cls.empty()
        return cls(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.class_ids for part in parts]),
        )
