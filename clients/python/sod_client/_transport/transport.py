"""The interface that all transports implement."""

from dataclasses import dataclass
from typing import Any, Protocol

from sod_client._inputs.items import Item
from sod_client._results.data import Model
from sod_client.result import Result


@dataclass(frozen=True)
class RequestOptions:
    """Options that all requests of a call share.

    Attributes:
        threshold: the score that an object must exceed, for all classes or by class id; None is the model's default.
        visualize: whether the server draws the objects; None is the server's default.
        model: name of a served model; None is the server's default.
        slices: the server's field `slice`; None detects images whole.
        classes: ids of the wanted classes; None is all.
        iou: an object is left out if its IoU with a better one is greater; None is the model's own.
        agnostic_nms: whether better objects of other classes count, too.
    """

    threshold: float | dict[int, float] | None = None
    visualize: bool | None = None
    model: str | None = None
    slices: bool | str | dict[str, Any] | None = None
    classes: tuple[int, ...] | None = None
    iou: float | None = None
    agnostic_nms: bool = False


class Transport(Protocol):
    """A connection to a server. Several threads may call its methods at once."""

    url: str
    """The server's address, without slashes at its end."""

    fetches_urls: bool
    """Whether the server fetches images from URLs; if not, the client must."""

    def detect(self, item: Item, options: RequestOptions) -> Result:
        """Detect the objects of one image; raises a SodError."""
        ...

    def models(self) -> list[Model]:
        """The models that the server has ready, the default first; raises a SodError."""
        ...

    def close(self) -> None:
        """Close the connections and end the pauses before retries."""
        ...
