"""Ctrl-C and SIGTERM, which wait until the files of a frame are written."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sod_client._cli import console


class Interruption:
    """Within `with`, both signals raise KeyboardInterrupt, but not while files are written; the second one always does.

    An encoder that is interrupted while it is emptied would lose what it holds.
    """

    def __init__(self) -> None:
        self._is_writing = self._is_due = False
        self._usual: dict[signal.Signals, Any] = {}

    @contextmanager
    def waits(self) -> Iterator[None]:
        """Have the first signal wait for the end of the block."""
        self._is_writing = True
        try:
            yield
        finally:
            self._is_writing = False
        if self._is_due:
            self._is_due = False
            raise KeyboardInterrupt

    def __enter__(self) -> "Interruption":
        self._usual = {one: signal.signal(one, self._stop) for one in console.stop_signals()}
        return self

    def __exit__(self, *_: object) -> None:
        for one, handler in self._usual.items():
            signal.signal(one, handler)

    def _stop(self, *_: object) -> None:
        if self._is_writing and not self._is_due:
            self._is_due = True
        else:
            raise KeyboardInterrupt
