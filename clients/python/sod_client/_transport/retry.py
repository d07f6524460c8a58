"""Trying again, while the server is starting, restarting or overloaded: a detection changes nothing there."""

import random
import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import TypeVar

from sod_client.errors import ConnectionFailedError, SodError

_Answer = TypeVar("_Answer")

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0


class TryAgainError(Exception):
    """A try that failed for now.

    Attributes:
        error: what to raise if it was the last one.
        after: seconds that the server asked to wait; None if it did not say.
    """

    def __init__(self, error: SodError, after: float | None = None) -> None:
        super().__init__(error)
        self.error = error
        self.after = after


class Retry:
    """Repeats calls that raise `TryAgainError`.

    Pauses double from half a second, less a random part of up to a half, so that clients do not come back together. The
    server's own Retry-After is waited for if it is longer; more than a minute of it ends the tries.

    Args:
        retries: tries after the first one.
    """

    def __init__(self, retries: int) -> None:
        self._retries = retries
        self._closed = threading.Event()

    def run(self, call: Callable[[], _Answer]) -> _Answer:
        """The call's answer.

        Raises:
            SodError: of the last try.
        """
        for attempt in range(self._retries + 1):
            if self._closed.is_set():
                break
            try:
                return call()
            except TryAgainError as again:
                pause = max(FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1), again.after or 0)  # noqa: S311
                if attempt == self._retries or pause > LONGEST_PAUSE_S:
                    raise again.error from again.error.__cause__
                self._closed.wait(pause)
        raise ConnectionFailedError("the pipeline was closed")

    def close(self) -> None:
        """End all pauses; no call is made after it."""
        self._closed.set()


def seconds_of(retry_after: str | None) -> float | None:
    """A Retry-After header, seconds or a date, as seconds from now; None for none that can be read."""
    if not retry_after:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
