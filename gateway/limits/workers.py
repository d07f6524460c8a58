"""Threads for work that would block the event loop: decoding, drawing, encoding."""

import asyncio
import os
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

import cv2

from gateway.errors import OverloadedError
from gateway.observability import metrics
from sod.errors import TaskTimeoutError, ThreadsExhaustedError
from sod.thread_pool import DEFAULT_TASK_TIMEOUT_S, ReplacingThreadPool

_CLOSE_S = 1.0  # for tasks that are nearly done; the server has waited for the requests before
_RETRY_AFTER_S = 10

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Workers:
    """A bounded thread pool. OpenCV releases the GIL, so the threads run in parallel.

    A thread that is stuck in a task is abandoned and replaced, as often as there are threads.

    Attributes:
        cores: Into how many parts a task may be split with a gain in time.
    """

    def __init__(self, threads: int, *, task_timeout: float = DEFAULT_TASK_TIMEOUT_S) -> None:
        """Start no thread yet.

        Args:
            threads: Tasks that run at once.
            task_timeout: Seconds that a task may take; then its future raises `TaskTimeoutError`.
        """
        cv2.setNumThreads(1)  # images run in parallel; OpenCV's own threads would compete for the same cores
        self.cores = min(threads, os.cpu_count() or 1)
        self._pool = ReplacingThreadPool(threads, time_limit_s=task_timeout, name="image")

    async def run(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Run `function` in a thread, in the context of the current request.

        Raises:
            OverloadedError: Every thread is stuck.
            TaskTimeoutError: It took longer than it may.
        """
        task = partial(function, *args, **kwargs)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, copy_context().run, task)
        except TaskTimeoutError:
            metrics.record_rejection("task_timeout")
            raise
        except ThreadsExhaustedError as error:
            metrics.record_rejection("threads")
            raise OverloadedError("The server cannot process images now; try again later", _RETRY_AFTER_S) from error

    @property
    def exhausted(self) -> bool:
        """Whether every thread is stuck in an earlier image, so that nothing can be processed."""
        return self._pool.exhausted

    def close(self) -> None:
        """Wait a moment for the running tasks and drop the queued ones; a stuck one ends with the process."""
        self._pool.shutdown(cancel_futures=True, timeout_s=_CLOSE_S)
