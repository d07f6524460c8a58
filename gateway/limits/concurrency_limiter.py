"""How many images are in work at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.observability import metrics
from gateway.observability.request_context import stage

# Weight of the latest image in the mean.
_WEIGHT = 0.2


class ConcurrencyLimiter:
    """Slots for images in work, given in the order in which they were asked for.

    Attributes:
        slots: Images in work at once.
        in_use: Slots taken, those of images given up but perhaps still in Triton included.
        waiting: Images that wait for a slot.
        seconds_an_image: Mean time that recent images kept a slot; None before the first.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.in_use = 0
        self.waiting = 0
        self.seconds_an_image: float | None = None
        self._semaphore = asyncio.Semaphore(slots)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot, and keep it inside.

        An image that is cancelled keeps its slot for as long as images usually take: Triton ends a cancelled
        ensemble at its next step only, and would otherwise fill with images that nobody waits for.
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
        try:
            yield
        except asyncio.CancelledError:
            remaining = (self.seconds_an_image or 0.0) - (loop.time() - started)
            if remaining > 0:
                loop.call_later(remaining, self._free)
            else:
                self._free()
            raise
        except BaseException:
            self._free()
            raise
        self._note(loop.time() - started)
        self._free()

    def wait_s(self, images: int) -> float:
        """Seconds in which so many images are done, as far as is known; 0 if nothing is."""
        return images * (self.seconds_an_image or 0.0) / self.slots

    def _note(self, seconds: float) -> None:
        mean = self.seconds_an_image
        self.seconds_an_image = seconds if mean is None else mean + _WEIGHT * (seconds - mean)

    def _free(self) -> None:
        self._count(in_use=-1)
        self._semaphore.release()

    def _count(self, *, waiting: int = 0, in_use: int = 0) -> None:
        self.waiting += waiting
        self.in_use += in_use
        metrics.waiting.set(self.waiting)
        metrics.slots.set(self.in_use)
