"""How many images are processed at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.observability import metrics
from gateway.observability.request_context import stage

# Weight of the latest image in the exponentially weighted mean.
_WEIGHT = 0.2


class ConcurrencyLimiter:
    """Slots for images, granted in the order of the requests for them.

    Attributes:
        slots: Images that may be processed at once.
        in_use: Slots in use, including those of cancelled images that Triton may still process.
        waiting: Images that wait for a slot.
        mean_duration_s: Mean time in seconds that recent images used a slot; None before the first one.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.in_use = 0
        self.waiting = 0
        self.mean_duration_s: float | None = None
        self._semaphore = asyncio.Semaphore(slots)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot and use it inside the context.

        A cancelled image keeps its slot for the mean duration: Triton finishes the step that a cancelled ensemble is
        in, so it would otherwise fill with images that no client waits for.
        """
        self._count(waiting=1)
        try:
            with stage("queue"):
                await self._semaphore.acquire()
        finally:
            self._count(waiting=-1)
        self._count(in_use=1)
        loop = asyncio.get_running_loop()
        started = loop.time()
        release_at = started
        try:
            yield
            self._update_mean(loop.time() - started)
        except asyncio.CancelledError:
            release_at += self.mean_duration_s or 0.0
            raise
        finally:
            if release_at > loop.time():
                loop.call_at(release_at, self._release)
            else:
                self._release()

    def estimated_wait_s(self, images: int) -> float:
        """Seconds until that many images are finished, by the mean duration; 0 if none has finished yet."""
        return images * (self.mean_duration_s or 0.0) / self.slots

    def _update_mean(self, seconds: float) -> None:
        mean = self.mean_duration_s
        self.mean_duration_s = seconds if mean is None else mean + _WEIGHT * (seconds - mean)

    def _release(self) -> None:
        self._count(in_use=-1)
        self._semaphore.release()

    def _count(self, *, waiting: int = 0, in_use: int = 0) -> None:
        self.waiting += waiting
        self.in_use += in_use
        metrics.waiting.set(self.waiting)
        metrics.slots.set(self.in_use)
