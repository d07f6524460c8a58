"""Reads a video: a file whole and in order, a live stream for as long as it can be connected again."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from sod_client._streams.sources.address import Address
from sod_client._streams.sources.container import Video, describe, load, nothing_seen
from sod_client._streams.sources.frame import Frame, VideoFrame
from sod_client._streams.sources.selection import Selection
from sod_client.errors import SodError, UnreadableFileError

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 4.0
_CLOCK_ERROR_S = 2.0  # between a stream's timestamps and the wall clock, before the stream's are given up
Report = Callable[[str], object]


class VideoReader:
    """Reads the frames of one video.

    Args:
        address: the video.
        number: position of the source in the call, from 0.
        selection: which frames are used.
        once: whether a live stream that ends is not connected again.
        stall_s: seconds without data after which a stream is connected again.
        report: receives a sentence about an interruption.

    Raises:
        SodError: the video cannot be opened.
    """

    def __init__(  # noqa: PLR0913 - what a stream has
        self, address: Address, number: int, selection: Selection, *, once: bool, stall_s: float, report: Report
    ) -> None:
        self._address, self._number, self._selection = address, number, selection
        self._once, self._stall_s, self._report = once, stall_s, report
        self._errors = load().error
        self._seen = nothing_seen()
        self._video = Video(address, stall_s, self._seen)
        self.is_live = self._video.is_live
        self._index = 0

    def read(self, stop: threading.Event) -> Iterator[Frame]:
        """The frames that are used, until the end or until `stop`.

        Raises:
            SodError: the video cannot be read.
        """
        try:
            yield from self._selection.of(self._live(stop) if self.is_live else self._file(stop))
        finally:
            self._video.close()

    def _file(self, stop: threading.Event) -> Iterator[Frame]:
        video, previous, count = self._video, -1.0 / self._video.rate, 0
        if self._selection.start:
            video.seek(self._selection.start)
        try:
            for picture, timestamp in video.frames():
                if stop.is_set():
                    return
                moment = previous + 1 / video.rate if timestamp is None else timestamp
                if count == 0 and self._selection.start:
                    self._index = max(0, round(moment * video.rate))
                count, previous = count + 1, moment
                yield self._frame(picture, moment)
        except self._errors.FFmpegError as error:
            if not count:
                raise describe(error, self._address) from error
            raise UnreadableFileError(f"the file is damaged after frame {self._index - 1}: {error.strerror}") from error
        if not count and not self._selection.start:  # or else it ends before the start
            raise UnreadableFileError("the video has no frames that can be decoded")
        if video.corrupt:
            self._report(f"{self._address.name}: {video.corrupt} damaged packets were left out")

    def _live(self, stop: threading.Event) -> Iterator[Frame]:
        started = time.monotonic()
        last: float | None = None
        while not stop.is_set():
            anchor: tuple[float, float] | None = None  # a time of the stream, and the seconds since the start then
            reason = "the stream ended"
            is_first = True
            try:
                for picture, timestamp in self._video.frames():
                    if stop.is_set():
                        return
                    now = time.monotonic() - started
                    moment = now
                    if timestamp is not None:
                        if anchor is None or abs(anchor[1] + timestamp - anchor[0] - now) > _CLOCK_ERROR_S:
                            anchor = timestamp, now
                        moment = anchor[1] + timestamp - anchor[0]
                        # A segment comes whole: without a pause its last frame alone would be the newest.
                        if self._video.comes_in_segments and stop.wait(max(0.0, moment - now)):
                            return
                    moment = moment if last is None else max(moment, last + 1e-3)
                    gap = moment - last if is_first and last is not None else 0.0
                    is_first, last = False, moment
                    yield self._frame(picture, moment, gap)
            except self._errors.FFmpegError as error:
                stalled = isinstance(error, self._errors.ExitError | self._errors.TimeoutError)
                reason = f"no data for {self._video.stall_s:g} s" if stalled else str(error.strerror)
            except OSError as error:
                reason = str(error)
            self._video.close()
            if self._once:
                return
            self._report(f"{self._address.name}: {reason}; connecting again")
            if not self._reconnect(stop):
                return

    def _reconnect(self, stop: threading.Event) -> bool:
        pause, began = FIRST_PAUSE_S, time.monotonic()
        while not stop.wait(pause):
            pause = min(2 * pause, LONGEST_PAUSE_S)
            try:
                self._video = Video(self._address, self._stall_s, self._seen)
            except SodError:
                continue
            self._report(f"{self._address.name}: connected again after {time.monotonic() - began:.1f} s")
            return True
        return False

    def _frame(self, picture: Any, moment: float, gap: float = 0.0) -> Frame:
        index = self._index
        self._index += 1
        item = VideoFrame(self._address.name, index, self._number, decoded_frame=picture)
        return Frame(item, index, moment, time.time(), gap)
