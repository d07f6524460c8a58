"""Threads for work that would hold the event loop: decoding, drawing, encoding."""

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
    """A bounded pool of threads; OpenCV lets go of the interpreter's lock, so they run beside each other."""

    def __init__(self, threads: int) -> None:
        cv2.setNumThreads(1)  # parallelism is across images; OpenCV's own threads would spin for their share of one
        self.cores = min(threads, os.cpu_count() or 1)  # how many parts of one task gain from running beside each other
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="image")

    def run(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> asyncio.Future[_R]:
        """Start `function` in a thread, within the current request's context; await the future for its result."""
        task = partial(function, *args, **kwargs)
        return asyncio.get_running_loop().run_in_executor(self._pool, copy_context().run, task)

    def close(self) -> None:
        """Let what runs finish, and drop what waits."""
        self._pool.shutdown(wait=True, cancel_futures=True)
