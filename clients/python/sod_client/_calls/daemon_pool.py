"""A pool of daemon threads.

`concurrent.futures.ThreadPoolExecutor` waits for its threads when the process exits. After Ctrl-C that would mean
waiting for responses that nobody reads, so requests run in daemon threads.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

_Value = TypeVar("_Value")
_Job = tuple["Future[Any]", Callable[[], Any]]


class DaemonPool:
    """Runs functions in up to `max_threads` daemon threads, which are started as they are needed."""

    def __init__(self, max_threads: int) -> None:
        self._max_threads = max_threads
        self._threads: list[threading.Thread] = []
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()

    def submit(self, call: Callable[[], _Value]) -> "Future[_Value]":
        """Run a function in one of the threads."""
        future: Future[_Value] = Future()
        with self._lock:
            self._jobs.put((future, call))
            if len(self._threads) < self._max_threads:
                thread = threading.Thread(target=_run_jobs, args=[self._jobs], name="sod-client", daemon=True)
                self._threads.append(thread)
                thread.start()
        return future

    def close(self) -> None:
        """End the threads after the jobs that were submitted; nothing may be submitted afterwards."""
        with self._lock:
            for _ in self._threads:
                self._jobs.put(None)


def _run_jobs(jobs: "queue.SimpleQueue[_Job | None]") -> None:
    while (job := jobs.get()) is not None:
        future, call = job
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)
        del job, future, call  # otherwise the last result stays in memory until the next job
