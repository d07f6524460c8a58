"""Hands frames from the thread that reads a source to the one that sends them."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from sod_client._streams.sources.frame import Frame

_AHEAD = 4  # frames of a file that are decoded ahead


class Handover:
    """A bounded queue. If the newest wins, a frame replaces the one that was not taken yet, which is counted.

    Args:
        newest_wins: whether older frames are dropped; otherwise the writer waits until there is room.
        wake: called whenever there is something to take.
    """

    def __init__(self, *, newest_wins: bool, wake: Callable[[], object]) -> None:
        self.dropped = 0
        self._newest_wins = newest_wins
        self._wake = wake
        self._frames: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._is_closed = self._is_finished = False
        self._error: BaseException | None = None

    def put(self, frame: Frame) -> bool:
        """Add a frame, waiting for room if necessary; returns whether more frames are wanted."""
        with self._changed:
            if self._newest_wins:
                for old in self._frames:  # the gap before a dropped frame is before the next one
                    frame = replace(frame, gap=max(frame.gap, old.gap))
                    self.dropped += 1
                self._frames.clear()
            while len(self._frames) >= _AHEAD and not self._is_closed:
                self._changed.wait()
            if self._is_closed:
                return False
            self._frames.append(frame)
        self._wake()
        return True

    def finish(self, error: BaseException | None = None) -> None:
        """Note that there are no more frames, and the error that ended them."""
        with self._changed:
            self._is_finished, self._error = True, error
        self._wake()

    def take(self) -> Frame | None:
        """The next frame; None if there is none at the moment.

        Raises:
            BaseException: what ended the source, after the last frame.
        """
        with self._changed:
            if self._frames:
                frame = self._frames.popleft()
                self._changed.notify_all()
                return frame
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            return None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to take at the moment."""
        return not self._frames and self._error is None

    @property
    def is_ended(self) -> bool:
        """Whether all frames were taken, and no more come."""
        return self._is_finished and self.is_empty

    def close(self) -> None:
        """End a waiting writer; further frames are refused."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
