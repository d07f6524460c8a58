"""Threads for work that would hold the event loop: decoding, drawing, encoding."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

_PATIENCE = 10  # nice

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Workers:
    """A bounded pool of threads; OpenCV lets go of the interpreter's lock, so they run beside each other."""

    def __init__(self, threads: int) -> None:
        self.cores = min(threads, os.cpu_count() or 1)  # how many parts of one task gain from running beside each other
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="picture")
        # On Linux a thread has a niceness of its own.
        self._patient_pool = ThreadPoolExecutor(threads, "patient", initializer=os.nice, initargs=(_PATIENCE,))

    def run(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> asyncio.Future[_R]:
        """Start `function` in a thread, within the current request's context; await the future for its result."""
        return self._start(self._pool, partial(function, *args, **kwargs))

    def run_patiently(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> asyncio.Future[_R]:
        """The same for what is needed later only: it leaves the processor to the inference that goes on meanwhile."""
        return self._start(self._patient_pool, partial(function, *args, **kwargs))

    def _start(self, pool: ThreadPoolExecutor, task: Callable[[], _R]) -> asyncio.Future[_R]:
        return asyncio.get_running_loop().run_in_executor(pool, copy_context().run, task)

    def close(self) -> None:
        """Let what runs finish, and drop what waits."""
        for pool in (self._pool, self._patient_pool):
            pool.shutdown(wait=True, cancel_futures=True)
