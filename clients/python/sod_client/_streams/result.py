"""The result of one frame."""

from typing import Any

from sod_client._results.data import Box
from sod_client._streams.sources.frame import Frame
from sod_client.result import Result


class TrackedBox(Box, total=False):
    """One object of a frame; the last two keys are there with `track=True`."""

    track_id: int
    """The same number for the same object in all frames of a source, from 1."""
    age: float
    """Seconds since the object was first seen."""


class FrameResult(Result):
    """The objects of one frame: a `Result` with the keys `frame`, `time` and, with lines or zones, `counts`.

    `page_index` is the frame's number too, so that the saved frames of a video have different names.

    Attributes:
        frame: the result's frame, with the image in `frame.item`.
        events: what happened in this frame: dicts with the key `event`.
        dropped: the frames of the source that were dropped so far, because a newer one came before they could be sent.
        slices: with `skip_still`, how many slices of the source were sent so far, and how many its frames have.
        lag: seconds from the decoding of the frame until its result was there.
    """

    def __init__(self, result: Result, frame: Frame, *, dropped: int, lag: float) -> None:
        super().__init__(
            result.input_path,
            result.boxes,
            page_index=frame.item.page_index,
            image=result.image,
            log_id=result.log_id,
            source=frame.item,
        )
        self._seconds = result._seconds
        self.frame, self.dropped, self.lag = frame, dropped, lag
        self.slices: tuple[int, int] | None = None
        self.events: list[dict[str, Any]] = []
        self["frame"], self["time"] = frame.index, round(frame.time, 4)

    @property
    def time(self) -> float:
        """Seconds since the source's start: the timestamp of a file, and of a live source nearly the wall clock."""
        return self.frame.time
