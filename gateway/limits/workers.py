"""Threads for work that would block the event loop: decoding, drawing, encoding."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

import cv2

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Workers:
    """A bounded thread pool. OpenCV releases the GIL, so the threads run in parallel.

    Attributes:
        cores: Into how many parts a task may be split with a gain in time.
    """

    def __init__(self, threads: int) -> None:
        cv2.setNumThreads(1)  # images run in parallel; OpenCV's own threads would compete for the same cores
        self.cores = min(threads, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="image")

    def run(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> asyncio.Future[_R]:
        """Start `function` in a thread, in the context of the current request; the future holds its result."""
        task = partial(function, *args, **kwargs)
        return asyncio.get_running_loop().run_in_executor(self._pool, copy_context().run, task)

    def close(self) -> None:
        """Wait for the running tasks and drop the queued ones."""
        self._pool.shutdown(wait=True, cancel_futures=True)
