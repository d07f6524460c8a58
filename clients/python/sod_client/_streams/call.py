"""One call of `watch`: reads sources, keeps requests in flight, tracks and counts, and returns results in order."""

import asyncio
import math
import os
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Generator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sod_client._calls.daemon_pool import DaemonPool
from sod_client._calls.in_flight import CALL_ERRORS
from sod_client._calls.keywords import refuse_unknown
from sod_client._calls.session import Session
from sod_client._filters import Filters
from sod_client._optional import require
from sod_client._seconds import check_seconds
from sod_client._slices import SliceOptions
from sod_client._streams.counting import shapes
from sod_client._streams.counting.counter import Counter
from sod_client._streams.objects import Objects
from sod_client._streams.options import WatchOptions
from sod_client._streams.pace import Pace
from sod_client._streams.result import FrameResult
from sod_client._streams.sources.frame import Frame
from sod_client._streams.sources.selection import Selection
from sod_client._streams.sources.source import Source
from sod_client._streams.tracking.options import EXPAND, LOST_S, MATCH_IOU, TrackOptions
from sod_client._thresholds import Threshold
from sod_client._transport.transport import RequestOptions
from sod_client.errors import (
    AuthenticationError,
    BadReplyError,
    InvalidConfigError,
    InvalidInputError,
    NoImageError,
    SodError,
    add_location,
)
from sod_client.result import Result

if TYPE_CHECKING:
    from sod_client._streams.still import StillSlices

_LIVE_IN_FLIGHT = 2  # one with the server while the next one is encoded; more would only wait there, and be older
_WAIT_S = 1.0
_AGAIN_S = 5.0  # after the retries of a request, which take some seconds themselves
STALL_S = 5.0
Sources = str | os.PathLike[str] | int | Sequence[str | os.PathLike[str] | int]


@dataclass(eq=False)
class _Stream:
    """A source with the requests that are in flight and what is known of its objects."""

    source: Source
    objects: Objects
    counter: Counter | None
    in_flight: int
    pace: Pace | None = None
    still: "StillSlices | None" = None
    has_counted: bool = False
    pending: deque[tuple[Frame, "Future[Result] | None"]] = field(default_factory=deque)
    again_at: float | None = None  # when the first of `pending`, which has no request, is sent again


class WatchCall:
    """One call of `Pipeline.watch`, with its arguments.

    Raises:
        InvalidInputError: an argument is invalid.
    """

    def __init__(self, session: Session, source: Sources, threshold: Threshold | None, options: WatchOptions) -> None:
        refuse_unknown(
            "watch",
            ["source", "threshold", *WatchOptions.__annotations__],
            {name: value for name, value in options.items() if name not in WatchOptions.__annotations__},
        )
        given = [source] if isinstance(source, str | os.PathLike | int) else source
        if not isinstance(given, Sequence) or not given or not all(_is_source(one) for one in given):
            raise InvalidInputError(f"a source is a path, a URL or the number of a camera, not {source!r}")
        self._texts = [str(one) if isinstance(one, int) else os.fspath(one) for one in given]
        self._session = session
        self._selection = Selection(
            options.get("start", 0.0), options.get("duration"), options.get("every", 1), options.get("max_fps")
        )
        self._once = options.get("once", False)
        self._stall_s = check_seconds("stall_timeout", options.get("stall_timeout", STALL_S))
        self._note = options.get("on_note") or (lambda _: None)
        self._lines, self._zones = shapes.lines(options.get("lines")), shapes.zones(options.get("zones"))
        self._counts = bool(self._lines or self._zones)
        self._track = None
        tracking = TrackOptions(
            options.get("match_iou", MATCH_IOU), options.get("expand", EXPAND), options.get("lost_after", LOST_S)
        )
        if options.get("track") or self._counts:
            require("numpy", "tracking", "numpy")
            self._track = tracking
        # Two boxes of one object, as a car and as a van, would be two tracks, and would count twice.
        agnostic_nms = options.get("agnostic_nms")
        self._filters = Filters.of(
            session.threshold if threshold is None else threshold,
            options.get("classes"),
            options.get("iou"),
            self._track is not None if agnostic_nms is None else agnostic_nms,
        )
        slices = SliceOptions(
            options.get("slice_infer"),
            options.get("slice_size"),
            options.get("overlap_ratio"),
            options.get("combine_method"),
            options.get("match_metric"),
            options.get("match_threshold"),
        )
        self._options = RequestOptions(
            visualize=False, model=options.get("model"), slices=slices.over(session.slices).field()
        )
        self._skip_still = options.get("skip_still", False)
        if self._skip_still:
            if self._options.slices is None:
                raise InvalidConfigError("skip_still has an effect only with slice_infer=True or slice_infer='auto'")
            require("numpy", "skip_still", "numpy")
        self._wake = threading.Event()
        self._stopped = False
        self._streams: list[_Stream] = []
        self._next = 0

    def results(self) -> Generator[FrameResult, None, None]:
        """The results: of each source in order, of several as they come."""
        try:
            self._open()
            while not self._stopped:
                self._wake.clear()
                wait_s = min([_WAIT_S, *(self._send(stream) for stream in self._streams)])
                result = self._take()
                if result is not None:
                    yield result
                    del result
                elif all(stream.source.is_ended and not stream.pending for stream in self._streams):
                    return
                else:
                    self._session.check_open()  # no frame may come that would fail when it is sent
                    self._wake.wait(wait_s)
        finally:
            for stream in self._streams:
                stream.source.close()
                for _, future in stream.pending:
                    if future is not None:
                        future.cancel()

    async def async_results(self) -> AsyncIterator[FrameResult]:
        """The same as `results`. Whatever blocks runs in a thread."""
        results = self.results()
        pool = DaemonPool(1)  # not asyncio's, whose few threads cameras would occupy for hours
        try:
            while True:
                result = await asyncio.wrap_future(pool.submit(lambda: next(results, None)))
                if result is None:
                    return
                yield result
                del result
        finally:
            self._stopped = True
            self._wake.set()
            pool.submit(results.close)  # after the `next` that may still wait for a frame
            pool.close()

    def _open(self) -> None:
        self._session.open()

        def labels() -> tuple[str, ...]:
            return self._session.labels(self._options.model)

        threshold = self._filters.threshold_by_id(labels)
        for number, text in enumerate(self._texts):
            source = Source(
                text,
                number,
                self._selection,
                once=self._once,
                stall_s=self._stall_s,
                report=self._note,
                wake=self._wake.set,
            )
            counter = None
            if self._counts and self._track is not None:
                counter = Counter(self._lines, self._zones, self._track.lost_s)
            most = self._session.max_in_flight
            share = max(1, (min(_LIVE_IN_FLIGHT, most) if source.is_live else 2 * most) // len(self._texts))
            pace = Pace() if source.is_live and share > 1 else None
            self._streams.append(_Stream(source, Objects(threshold, self._track), counter, share, pace))
        self._options = replace(
            self._options,
            threshold=self._streams[0].objects.requested_threshold,
            classes=self._filters.class_ids(labels),
            iou=self._filters.iou,
            agnostic_nms=self._filters.agnostic_nms,
        )
        if self._skip_still:
            from sod_client._streams.still import StillSlices, slice_request  # noqa: PLC0415 - it needs numpy

            request = slice_request(self._session, self._options)
            for stream in self._streams:
                stream.still = StillSlices(self._session, request, replace(self._options, slices=None))

    def _send(self, stream: _Stream) -> float:
        """Send the frames that may be sent now; returns the seconds after which another one may be."""
        if stream.again_at is not None:
            if (wait_s := stream.again_at - time.monotonic()) > 0:
                return wait_s
            stream.again_at, first = None, stream.pending[0][0]
            stream.pending[0] = first, self._submit(stream, first)
        while len(stream.pending) < stream.in_flight:
            if stream.pace is not None and stream.source.has_frame and (wait_s := stream.pace.wait_s()):
                return wait_s
            frame = stream.source.take()
            if frame is None:
                break
            stream.pending.append((frame, self._submit(stream, frame)))
        return math.inf

    def _submit(self, stream: _Stream, frame: Frame) -> "Future[Result]":
        if stream.still is not None:
            future = stream.still.submit(frame)
        else:
            future = self._session.submit(frame.item, self._options, {})
        if stream.pace is not None:
            stream.pace.sent(future)
        future.add_done_callback(lambda _: self._wake.set())
        return future

    def _take(self) -> FrameResult | None:
        """The next result that is there, of the sources in turn; None if there is none."""
        for offset in range(len(self._streams)):
            stream = self._streams[(self._next + offset) % len(self._streams)]
            while stream.pending and (future := stream.pending[0][1]) is not None and future.done():
                frame, _ = stream.pending.popleft()
                try:
                    found = future.result()
                except SodError as error:
                    self._skip(stream, frame, error)
                    continue
                self._next = (self._next + offset + 1) % len(self._streams)
                return self._finish(stream, frame, found)
        return None

    def _finish(self, stream: _Stream, frame: Frame, found: Result) -> FrameResult:
        result = FrameResult(found, frame, dropped=stream.source.dropped, lag=time.time() - frame.received)
        if stream.still is not None:
            result.slices = stream.still.sent, stream.still.total
        stream.objects.update(result)
        if frame.gap:
            gap = {"event": "gap", "source": result.input_path, "frame": frame.index, "time": result["time"]}
            result.events.append({**gap, "seconds": round(frame.gap, 2)})
        if stream.counter is not None:
            if not stream.has_counted:
                stream.has_counted = True
                self._note_shapes_outside(result)
            stream.counter.update(result)
        return result

    def _note_shapes_outside(self, result: FrameResult) -> None:
        """Their counts would stay 0 without a word, as when they were drawn on a picture of another size."""
        with suppress(NoImageError):
            size = result.size
            for shape in (*self._lines, *self._zones):
                if shape.is_outside(size):
                    self._note(
                        f"{result.input_path}: {shape.name} lies outside of the frames of {size[0]}\u00d7{size[1]} "
                        "pixels: nothing is counted there"
                    )

    def _skip(self, stream: _Stream, frame: Frame, error: SodError) -> None:
        """A live source goes on after a frame that failed; of a file and a folder, every frame counts.

        A folder goes on after an image that is at fault itself. What was added while the server is away waits for it.

        Raises:
            SodError: the error, if it ends the call.
        """
        is_of_folder = not stream.source.is_live and frame.item.is_light
        if isinstance(error, AuthenticationError | BadReplyError):
            raise error
        if is_of_folder and isinstance(error, CALL_ERRORS) and not self._once:
            self._note(f"{frame.item.input_path}: {error.sentence}; it is sent again in {_AGAIN_S:g} s")
            stream.pending.appendleft((frame, None))
            stream.again_at = time.monotonic() + _AGAIN_S
            return
        if not (stream.source.is_live or (is_of_folder and not isinstance(error, CALL_ERRORS))):
            raise error if isinstance(error, CALL_ERRORS) else add_location(error, frame.item.input_path)
        self._note(f"{frame.item.input_path}: frame {frame.index} was left out: {error.sentence}")


def _is_source(value: object) -> bool:
    return (isinstance(value, str | os.PathLike) and bool(os.fspath(value))) or (type(value) is int and value >= 0)
