"""How many pictures are in work at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway import metrics
from gateway.request_scope import stage

# Weight of the latest picture in the mean.
_WEIGHT = 0.2


class Admission:
    """Slots for pictures in work, given in the order in which they were asked for.

    Attributes:
        slots: Pictures in work at once.
        in_use: Slots taken, those of pictures given up but perhaps still in Triton included.
        waiting: Pictures that wait for a slot.
        seconds_a_picture: Mean time that recent pictures kept a slot; None before the first.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.in_use = 0
        self.waiting = 0
        self.seconds_a_picture: float | None = None
        self._semaphore = asyncio.Semaphore(slots)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot, and keep it inside.

        A picture that is cancelled keeps its slot for as long as pictures usually take: Triton ends a cancelled
        ensemble at its next step only, and would otherwise fill with pictures that nobody waits for.
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
            remaining = (self.seconds_a_picture or 0.0) - (loop.time() - started)
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

    def wait_s(self, pictures: int) -> float:
        """Seconds in which so many pictures are done, as far as is known; 0 if nothing is."""
        return pictures * (self.seconds_a_picture or 0.0) / self.slots

    def _note(self, seconds: float) -> None:
        mean = self.seconds_a_picture
        self.seconds_a_picture = seconds if mean is None else mean + _WEIGHT * (seconds - mean)

    def _free(self) -> None:
        self._count(in_use=-1)
        self._semaphore.release()

    def _count(self, *, waiting: int = 0, in_use: int = 0) -> None:
        self.waiting += waiting
        self.in_use += in_use
        metrics.waiting.set(self.waiting)
        metrics.slots.set(self.in_use)
