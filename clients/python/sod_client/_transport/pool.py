"""Threads for requests: as many as may be under way, and none that keeps the process alive.

`concurrent.futures` waits for its threads when the process ends, which after Ctrl-C means for answers nobody wants.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

_Answer = TypeVar("_Answer")
_Job = tuple["Future[Any]", Callable[[], Any]]


class Pool:
    """Up to `threads` daemon threads, started as they are needed."""

    def __init__(self, threads: int) -> None:
        self._limit = threads
        self._threads: list[threading.Thread] = []
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()

    def submit(self, call: Callable[[], _Answer]) -> "Future[_Answer]":
        """Run it in one of the threads."""
        future: Future[_Answer] = Future()
        with self._lock:
            self._jobs.put((future, call))
            if len(self._threads) < self._limit:
                thread = threading.Thread(target=_work, args=[self._jobs], name="sod-client", daemon=True)
                self._threads.append(thread)
                thread.start()
        return future

    def close(self) -> None:
        """Let the threads end after what was submitted; nothing may be submitted after it."""
        with self._lock:
            for _ in self._threads:
                self._jobs.put(None)


def _work(jobs: "queue.SimpleQueue[_Job | None]") -> None:
    while (job := jobs.get()) is not None:
        future, call = job
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)
        del job, future, call  # or the last result stays in memory until the next job
