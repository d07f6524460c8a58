"""What a way to a server must do; `_http` and `_grpc` are the two."""

from dataclasses import dataclass
from typing import Protocol

from sod_client._inputs.items import Item
from sod_client.result import Model, Result


@dataclass(frozen=True)
class Question:
    """What is asked of every image of a call.

    Attributes:
        threshold: None is the model's default.
        visualize: whether the server draws; None is its own default.
        model: None is the server's default.
    """

    threshold: float | dict[int, float] | None = None
    visualize: bool | None = None
    model: str | None = None


class Transport(Protocol):
    """A way to a server; its methods may be called from several threads at once."""

    fetches: bool
    """Whether the server itself fetches images from URLs."""

    def detect(self, item: Item, question: Question) -> Result:
        """The objects of one image; raises a SodError."""
        ...

    def models(self) -> list[Model]:
        """The models that are ready, the default first; raises a SodError."""
        ...

    def close(self) -> None:
        """Close the connections, and end the waits."""
        ...
