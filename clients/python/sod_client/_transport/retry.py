"""Repeats requests while the server starts, restarts or is overloaded. A detection has no side effects."""

import random
import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import TypeVar

from sod_client.errors import ConnectionFailedError, SodError

_Response = TypeVar("_Response")

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0


class RetryableError(Exception):
    """An attempt failed, and another one may succeed.

    Attributes:
        error: the error to raise if this was the last attempt.
        retry_after_s: seconds to wait before the next attempt, if the server names them in Retry-After; otherwise None.
    """

    def __init__(self, error: SodError, retry_after_s: float | None = None) -> None:
        super().__init__(error)
        self.error = error
        self.retry_after_s = retry_after_s


class RetryPolicy:
    """Repeats calls that raise `RetryableError`.

    The pause before a retry starts at half a second and doubles. It is shortened by a random part of up to a half, so
    that clients do not come back all at once. A longer Retry-After of the server is respected; one of more than a
    minute ends the attempts.

    Args:
        retries: the most attempts after the first one.
        first_pause_s: seconds before the first retry; None is `FIRST_PAUSE_S`.
        wait: pauses for a number of seconds; None waits until then, or until `close`.
    """

    def __init__(
        self, retries: int, first_pause_s: float | None = None, wait: Callable[[float], object] | None = None
    ) -> None:
        self._retries = retries
        self._first_pause_s = FIRST_PAUSE_S if first_pause_s is None else first_pause_s
        self._closed = threading.Event()
        self._wait = self._closed.wait if wait is None else wait

    def run(self, call: Callable[[], _Response]) -> _Response:
        """Make the call until it succeeds, and return its result.

        Raises:
            SodError: the error of the last attempt.
        """
        for attempt in range(self._retries + 1):
            if self._closed.is_set():
                break
            try:
                return call()
            except RetryableError as failure:
                backoff = self._first_pause_s * 2**attempt * random.uniform(0.5, 1)  # noqa: S311
                pause = max(backoff, failure.retry_after_s or 0)
                if attempt == self._retries or pause > LONGEST_PAUSE_S:
                    raise failure.error from failure.error.__cause__
                self._wait(pause)
        raise ConnectionFailedError("the pipeline was closed")

    def close(self) -> None:
        """End all pauses; no further attempt is made."""
        self._closed.set()


def parse_retry_after(header: str | None) -> float | None:
    """Seconds from now of a Retry-After header, which holds seconds or a date; None if it cannot be read."""
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
