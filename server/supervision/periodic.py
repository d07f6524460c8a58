"""A check that blocks, repeated in a thread of its own so that nobody waits for it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What one call returned.

    Attributes:
        value: returned.
        asked_at: monotonic time of the call, seconds.
        answered_at: of its return.
    """

    value: T
    asked_at: float
    answered_at: float


class Periodic(Generic[T]):
    """Calls `ask` again and again until `close`; `last` is the latest outcome, None before the first.

    Args:
        ask: the check.
        pause_s: seconds until the next call, from the outcome of the last.
    """

    def __init__(self, ask: Callable[[], T], pause_s: Callable[[Outcome[T]], float]) -> None:
        self.last: Outcome[T] | None = None
        self._ask = ask
        self._pause_s = pause_s
        self._closed = Event()
        Thread(target=self._run, daemon=True, name="periodic check").start()

    def close(self) -> None:
        """Call no more; a call under way is not waited for, and its outcome is dropped."""
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            asked_at = time.monotonic()
            value = self._ask()
            if self._closed.is_set():
                return
            self.last = Outcome(value, asked_at, time.monotonic())
            self._closed.wait(self._pause_s(self.last))
