"""Sends the slices of a frame that changed, and keeps the last answer for the others; for a camera that does not move.

Every slice is compared with its own pixels when it was last sent, so that slow changes add up until they are seen.
"""

import io
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sod_client._calls.session import Session
from sod_client._inputs.items import Item
from sod_client._results.data import Box
from sod_client._shared.detections import Detections
from sod_client._shared.merging import merge_slices
from sod_client._shared.slicing import Slice, is_large, slice_grid
from sod_client._streams.sources.frame import QUALITY, Frame, VideoFrame
from sod_client._transport.sliced import SliceRequest
from sod_client._transport.transport import RequestOptions
from sod_client.errors import SodError
from sod_client.result import Result

BLOCK_PX = 4
"""Side of the squares whose mean brightness is compared: a camera's noise of 5 levels is 1.3 levels in a mean of 16."""
CHANGE = 8
"""Levels of 255 by which one square must differ, so that a slice has changed; compression alone stays below."""
REFRESH_S = 10.0
"""Seconds after which an unchanged slice is sent anyway, so that no answer is older."""


def slice_request(session: Session, options: RequestOptions) -> SliceRequest:
    """How the frames are sliced.

    Args:
        session: knows the server's models.
        options: of the call, with the field `slice`.

    Raises:
        InvalidConfigError: the server does not say the size of its model's input, or has no such model.
    """
    otherwise = "does not say the size of its model's input, so that skip_still cannot cut frames"
    model = session.described(options.model, otherwise)
    return SliceRequest.of(options.slices or True, model, agnostic_nms=bool(options.agnostic_nms))


@dataclass(eq=False)
class _Part:
    """A slice, or the whole frame.

    Attributes:
        place: its place in the frame.
        seen: the means of its squares when it was last sent, int16 [H, W].
        sent_at: the time of that frame, in seconds of the source.
        answer: what the server found in it; None before it was sent.
    """

    place: Slice
    seen: NDArray[np.int16] | None = None
    sent_at: float = 0.0
    answer: "Future[Result] | None" = None

    def must_be_sent(self, means: NDArray[np.int16], moment: float) -> bool:
        """Whether its pixels changed, its answer is too old, or its last request failed."""
        if self.answer is None or self.seen is None or moment - self.sent_at >= REFRESH_S:
            return True
        has_failed = self.answer.done() and (self.answer.cancelled() or self.answer.exception() is not None)
        return has_failed or bool((np.abs(self.view(means) - self.seen) > CHANGE).any())

    def view(self, means: NDArray[np.int16]) -> NDArray[np.int16]:
        """Its squares among those of the frame."""
        place = self.place
        rows = slice(place.y // BLOCK_PX, -(-(place.y + place.height) // BLOCK_PX))
        columns = slice(place.x // BLOCK_PX, -(-(place.x + place.width) // BLOCK_PX))
        return means[rows, columns]


class StillSlices:
    """The slices of one source's frames.

    Attributes:
        sent: the slices that were sent so far, whole frames included.
        total: the slices that all frames so far have.

    Args:
        session: sends the slices.
        request: how frames are sliced.
        options: of the requests; `slices` is left out of them.
    """

    def __init__(self, session: Session, request: SliceRequest, options: RequestOptions) -> None:
        self._session, self._request, self._options = session, request, options
        self._size: tuple[int, int] | None = None
        self._parts: list[_Part] = []
        self.sent = self.total = 0

    def submit(self, frame: Frame) -> "Future[Result]":
        """Send what changed since it was last sent. Frames must come in order.

        Returns:
            The objects of the whole frame; an error, if the image cannot be read or a slice failed.
        """
        combined: Future[Result] = Future()
        try:
            means, size = _means(frame.item)
        except SodError as error:
            combined.set_exception(error)
            return combined
        if size != self._size:
            self._size, self._parts = size, [_Part(place) for place in self._places(size)]
        pixels = _Pixels(frame.item)
        whole = Slice(0, 0, *size)
        for part in self._parts:
            if part.must_be_sent(means, frame.time):
                item = frame.item if part.place == whole else SliceItem(pixels=pixels, place=part.place)
                part.seen, part.sent_at = part.view(means).copy(), frame.time
                part.answer = self._session.submit(item, self._options, {})
                self.sent += 1
        self.total += len(self._parts)
        answers = [part.answer for part in self._parts if part.answer is not None]
        _Combination(frame.item, answers, [part.place for part in self._parts], size, self._request, combined).start()
        return combined

    def _places(self, size: tuple[int, int]) -> list[Slice]:
        """The slices, and the whole frame for the objects that are larger than one."""
        whole = Slice(0, 0, *size)
        if self._request.only_if_larger and not is_large(size, self._request.input_size):
            return [whole]
        slices = slice_grid(size, self._request.size, self._request.overlap)
        return [*slices, whole] if len(slices) > 1 else [whole]


class _Pixels:
    """A frame that several threads cut slices from, decoded once."""

    def __init__(self, item: Item) -> None:
        self._item, self._lock = item, threading.Lock()
        self._image: Image.Image | None = None

    def image(self) -> Image.Image:
        """The frame, RGB."""
        with self._lock:
            if self._image is None:
                self._image = self._item.decoded()
            return self._image


@dataclass(frozen=True)
class SliceItem(Item):
    """A slice of a frame, sent as a JPEG as frames are."""

    pixels: _Pixels | None = field(default=None, repr=False)
    place: Slice | None = None

    def encoded(self) -> bytes:
        """The slice as JPEG of `QUALITY`."""
        buffer = io.BytesIO()
        self.decoded().save(buffer, "JPEG", quality=QUALITY, subsampling="4:2:0")
        return buffer.getvalue()

    def decoded(self) -> Image.Image:
        """The slice, RGB."""
        pixels, place = self.pixels, self.place
        assert pixels is not None and place is not None  # noqa: PT018, S101 - they follow fields with defaults
        return pixels.image().crop((place.x, place.y, place.x + place.width, place.y + place.height))


@dataclass
class _Combination:
    """Merges the answers of a frame's slices when all are there."""

    item: Item
    answers: Sequence["Future[Result]"]
    places: Sequence[Slice]
    size: tuple[int, int]
    request: SliceRequest
    combined: "Future[Result]"
    _lock: Any = field(default_factory=threading.Lock)
    _left: int = 0

    def start(self) -> None:
        self._left = len(self.answers)
        self.combined.add_done_callback(self._cancel)
        for answer in self.answers:
            answer.add_done_callback(self._count)

    def _count(self, _: object) -> None:
        with self._lock:
            self._left -= 1
            if self._left:
                return
        if not self.combined.set_running_or_notify_cancel():
            return
        try:
            self.combined.set_result(self._merge([answer.result().boxes for answer in self.answers]))
        except BaseException as error:  # also CancelledError, of a call that was ended
            self.combined.set_exception(error)

    def _cancel(self, combined: "Future[Result]") -> None:
        if combined.cancelled():  # the call was ended
            for answer in self.answers:
                answer.cancel()

    def _merge(self, found: list[list[Box]]) -> Result:
        labels = {box["cls_id"]: box["label"] for boxes in found for box in boxes}
        merged = merge_slices([_detections(boxes) for boxes in found], self.places, self.size, self.request.merging)
        rows = zip(merged.class_ids.tolist(), merged.scores.tolist(), merged.boxes.tolist(), strict=True)
        boxes = [Box(cls_id=kind, label=labels[kind], score=score, coordinate=box) for kind, score, box in rows]
        return Result(self.item.input_path, boxes, page_index=self.item.page_index, source=self.item)


def _detections(boxes: list[Box]) -> Detections:
    return Detections(
        np.array([box["coordinate"] for box in boxes], np.float32).reshape(-1, 4),
        np.array([box["score"] for box in boxes], np.float32),
        np.array([box["cls_id"] for box in boxes], np.int32),
    )


def _means(item: Item) -> tuple[NDArray[np.int16], tuple[int, int]]:
    """The mean brightness of each square of `BLOCK_PX` pixels, int16 [H, W], and the image's (width, height).

    Raises:
        SodError: the image cannot be read.
    """
    grey = item.grey() if isinstance(item, VideoFrame) else item.decoded().convert("L")
    return np.asarray(grey.reduce(BLOCK_PX), np.int16), grey.size
