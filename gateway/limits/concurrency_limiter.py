"""How many images, and slices of images, are processed at once."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.observability import metrics
from gateway.observability.request_context import stage

# Weight of the latest image in the exponentially weighted mean.
_WEIGHT = 0.2
# A mean that no image has updated for so long is not used to refuse images: the load has changed since.
_RECENT_S = 60.0
# So long after the last whole image slices still leave room: a client that sends one after the other is between two.
_PAUSE_S = 0.1


@dataclass(eq=False, slots=True)
class _Waiter:
    granted: asyncio.Future[None]
    sliced: bool


class ConcurrencyLimiter:
    """Slots for images, granted in the order of the requests for them.

    Work for sliced images has at most as many slots as whole images have or wait for, and at least one; without whole
    images it may have all slots. So slices take at most half of the detector from whole images, and are not starved by
    them.

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
        self._measured_at = 0.0
        self._sliced_in_use = 0
        self._whole_waiting = 0
        self._whole_until = 0.0
        self._waiters: deque[_Waiter] = deque()

    @asynccontextmanager
    async def slot(self, *, sliced: bool = False) -> AsyncIterator[None]:
        """Wait for a slot and use it inside the context.

        A cancelled image keeps its slot for the mean duration: Triton finishes the step that a cancelled ensemble is
        in, so it would otherwise fill with images that no client waits for.

        Args:
            sliced: The slot is for a slice, or for decoding or drawing an image that is sliced.
        """
        with stage("queue"):
            await self._acquire(sliced)
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
                loop.call_at(release_at, self._release, sliced)
            else:
                self._release(sliced)

    def estimated_wait_s(self, images: int) -> float:
        """Seconds until that many images are finished, by the mean duration; 0 if none has finished yet."""
        return images * (self.mean_duration_s or 0.0) / self.slots

    def recent_duration_s(self) -> float | None:
        """The mean duration in seconds if an image has updated it in the last minute."""
        recent = asyncio.get_running_loop().time() - self._measured_at < _RECENT_S
        return self.mean_duration_s if recent else None

    def _update_mean(self, seconds: float) -> None:
        mean = self.mean_duration_s
        self.mean_duration_s = seconds if mean is None else mean + _WEIGHT * (seconds - mean)
        self._measured_at = asyncio.get_running_loop().time()

    async def _acquire(self, sliced: bool) -> None:
        waiter = _Waiter(asyncio.get_running_loop().create_future(), sliced)
        self._waiters.append(waiter)
        self._count(waiting=1, sliced=sliced)
        self._grant()
        try:
            await waiter.granted
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
                self._count(waiting=-1, sliced=sliced)
                self._grant()
            else:  # it was granted in the same moment
                self._release(sliced)
            raise

    def _grant(self) -> None:
        """Give the free slots to those that wait longest and may have one."""
        while self.in_use < self.slots:
            room = self._sliced_in_use < self._sliced_slots()
            waiter = next((one for one in self._waiters if room or not one.sliced), None)
            if waiter is None:
                return
            self._waiters.remove(waiter)
            self._count(waiting=-1, in_use=1, sliced=waiter.sliced)
            if not waiter.granted.done():
                waiter.granted.set_result(None)

    def _sliced_slots(self) -> int:
        """Slots that sliced images may have now."""
        whole = self.in_use - self._sliced_in_use + self._whole_waiting
        if whole:
            return whole
        return 1 if asyncio.get_running_loop().time() < self._whole_until else self.slots

    def _release(self, sliced: bool) -> None:
        self._count(in_use=-1, sliced=sliced)
        if not sliced:
            loop = asyncio.get_running_loop()
            self._whole_until = loop.time() + _PAUSE_S
            if self._waiters:
                loop.call_at(self._whole_until, self._grant)
        self._grant()

    def _count(self, *, waiting: int = 0, in_use: int = 0, sliced: bool) -> None:
        self.waiting += waiting
        self.in_use += in_use
        if sliced:
            self._sliced_in_use += in_use
        else:
            self._whole_waiting += waiting
        metrics.waiting.set(self.waiting)
        metrics.slots.set(self.in_use)
