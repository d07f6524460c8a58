"""Threads for work that would hold the event loop: decoding, drawing, encoding."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Workers:
    """A bounded pool of threads; OpenCV lets go of the interpreter's lock, so they run beside each other."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="picture")

    def run(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> asyncio.Future[_R]:
        """Start `function` in a thread; await the future for its result."""
        return asyncio.get_running_loop().run_in_executor(self._pool, lambda: function(*args, **kwargs))

    def close(self) -> None:
        """Let what runs finish, and drop what waits."""
        self._pool.shutdown(wait=True, cancel_futures=True)
