"""Deduplication of concurrent calls: one run of a coroutine, shared by all callers."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

_R = TypeVar("_R")


class SingleFlight(Generic[_R]):
    """Shares the result or the exception of one run; cancelling a caller does not cancel the run."""

    def __init__(self, function: Callable[[], Coroutine[Any, Any, _R]]) -> None:
        self._function = function
        self._task: asyncio.Task[_R] | None = None

    async def __call__(self) -> _R:
        """Await the current run, or start one."""
        return await asyncio.shield(self.start())

    def start(self) -> asyncio.Task[_R]:
        """The current run, or a new one; it need not be awaited."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._function())
            self._task.add_done_callback(_retrieve)
        return self._task

    async def close(self) -> None:
        """Cancel the current run."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Retrieve the exception of a run that nobody may have awaited, so that asyncio does not log it."""
    if not future.cancelled():
        future.exception()
