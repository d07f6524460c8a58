"""One run of a coroutine for everybody who asks while it runs."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

_R = TypeVar("_R")


class SingleFlight(Generic[_R]):
    """Shares a run's result, or its exception; a caller that leaves does not take the run from the others."""

    def __init__(self, function: Callable[[], Coroutine[Any, Any, _R]]) -> None:
        self._function = function
        self._task: asyncio.Task[_R] | None = None

    async def __call__(self) -> _R:
        """Join the run under way, or start one."""
        return await asyncio.shield(self.start())

    def start(self) -> asyncio.Task[_R]:
        """The run under way, or a new one; nobody need wait for it."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._function())
            self._task.add_done_callback(_retrieve)
        return self._task

    async def close(self) -> None:
        """Stop a run under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Look at a result that perhaps nobody waits for, so that asyncio does not complain of it."""
    if not future.cancelled():
        future.exception()
