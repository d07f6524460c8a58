"""Plain data of a response: objects and models."""

from dataclasses import dataclass
from typing import TypedDict


class Box(TypedDict):
    """One detected object."""

    cls_id: int
    label: str
    score: float
    coordinate: list[float]
    """x1, y1, x2, y2 in pixels of the image."""


@dataclass(frozen=True)
class Model:
    """A model that the server has ready.

    Attributes:
        name: the name to pass as `model=`.
        labels: the class labels, by class id.
        input_size: height and width in pixels that images are resized to; None if the server does not report them.
        default: whether the server uses this model for requests that name none.
        sha256: of the files with the weights that are served, in hexadecimal digits; None if the server tells none.
    """

    name: str
    labels: tuple[str, ...]
    input_size: tuple[int, int] | None
    default: bool
    sha256: str | None = None

    def label(self, class_id: int) -> str:
        """The label of a class, or the class id as text if the model has no label for it."""
        return self.labels[class_id] if 0 <= class_id < len(self.labels) else str(class_id)
