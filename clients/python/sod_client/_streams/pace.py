"""When the next frame of a live source is sent."""

import math
import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import Any

_EARLY = 0.1  # share of an answer's time by which a frame is sent before the server is free, to be decoded by then
_SAMPLES = 8


class Pace:
    """Sends a frame shortly before the server has finished the one before, so that it hardly waits there.

    A server that detects one image after the other would let a second request wait for as long as the first one takes:
    every result would be two answers old. How long an image keeps the server busy follows from when responses come.
    """

    def __init__(self) -> None:
        self._spent: deque[float] = deque(maxlen=_SAMPLES)
        self._last_sent = self._last_done = -math.inf
        self._open = 0
        self._lock = threading.Lock()

    def sent(self, future: "Future[Any]") -> None:
        """Note a request that was just sent; its future says when it ends."""
        now = time.monotonic()
        with self._lock:
            self._open, self._last_sent = self._open + 1, now
        future.add_done_callback(lambda _: self._finish(now))

    def wait_s(self) -> float:
        """Seconds until the next frame should be sent; infinite while the first response is awaited."""
        with self._lock:
            if not self._open:
                return 0.0
            if not self._spent:
                return math.inf
            # Not the median: a server that detects several images at once gives responses in pairs.
            usual = sorted(self._spent)[len(self._spent) // 4]
            due = max(self._last_sent, self._last_done) + (1 - _EARLY) * usual
        return max(0.0, due - time.monotonic())

    def _finish(self, sent: float) -> None:
        now = time.monotonic()
        with self._lock:
            self._open -= 1
            self._spent.append(now - max(sent, self._last_done))
            self._last_done = now
