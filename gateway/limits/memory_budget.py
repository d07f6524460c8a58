"""Memory that tasks wait for in the order of their requests, instead of being refused."""

import asyncio
from collections import deque


class MemoryBudget:
    """A number of bytes that is shared out.

    Attributes:
        max_bytes: Bytes that may be reserved together.
        reserved_bytes: Bytes reserved now.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.reserved_bytes = 0
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def acquire(self, count: int) -> None:
        """Wait until `count` bytes are free, and reserve them until `release`.

        Args:
            count: At most `max_bytes`; more would wait for ever.
        """
        free: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = (count, free)
        self._waiters.append(waiter)
        self._grant()
        try:
            await free
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
                self._grant()
            else:
                self.release(count)
            raise

    def release(self, count: int) -> None:
        """Give back what `acquire` reserved."""
        self.reserved_bytes -= count
        self._grant()

    def _grant(self) -> None:
        while self._waiters and self.reserved_bytes + self._waiters[0][0] <= self.max_bytes:
            count, free = self._waiters.popleft()
            self.reserved_bytes += count
            if not free.done():
                free.set_result(None)
