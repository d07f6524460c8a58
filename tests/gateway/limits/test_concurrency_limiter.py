"""Slots for images being processed."""

import asyncio

import pytest

from gateway.limits.concurrency_limiter import ConcurrencyLimiter
from gateway.observability.request_context import new_request
from tests.gateway.live import until


async def test_slots_are_bounded_and_first_come_first_served() -> None:
    limiter = ConcurrencyLimiter(2)
    order: list[int] = []
    go = asyncio.Event()
    most = 0

    async def image(number: int) -> None:
        nonlocal most
        async with limiter.slot():
            order.append(number)
            most = max(most, limiter.in_use)
            await go.wait()
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(image(number)) for number in range(8)]
    await until(lambda: limiter.waiting == 6)
    assert (limiter.in_use, order) == (2, [0, 1])
    tasks[3].cancel()  # while it waits
    await until(lambda: limiter.waiting == 5)
    go.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [0, 1, 2, 4, 5, 6, 7]
    assert most == 2
    assert (limiter.in_use, limiter.waiting) == (0, 0)


async def test_waiting_is_the_stage_queue() -> None:
    limiter = ConcurrencyLimiter(1)
    with new_request() as request:
        async with limiter.slot():
            pass
    assert "queue" in request.seconds


async def test_an_error_releases_the_slot() -> None:
    limiter = ConcurrencyLimiter(1)
    for _ in range(3):
        with pytest.raises(ValueError, match="no"):
            async with limiter.slot():
                raise ValueError("no")
    assert limiter.in_use == 0
    assert limiter.mean_duration_s is None  # an image that fails does not change the mean


async def test_estimated_wait() -> None:
    limiter = ConcurrencyLimiter(4)
    assert limiter.estimated_wait_s(100) == 0
    async with limiter.slot():
        await asyncio.sleep(0.02)
    assert limiter.mean_duration_s is not None
    assert limiter.mean_duration_s >= 0.02
    assert limiter.estimated_wait_s(8) == pytest.approx(2 * limiter.mean_duration_s)


@pytest.mark.parametrize(("usual", "kept"), [(None, False), (0.0, False), (100.0, True)])
async def test_a_cancelled_image_keeps_its_slot_for_the_mean_duration(usual: float | None, kept: bool) -> None:
    limiter = ConcurrencyLimiter(1)
    limiter.mean_duration_s = usual

    async def image() -> None:
        async with limiter.slot():
            await asyncio.Event().wait()

    task = asyncio.create_task(image())
    await until(lambda: limiter.in_use == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert limiter.in_use == int(kept)


async def test_the_slot_of_a_cancelled_image_is_released_later() -> None:
    limiter = ConcurrencyLimiter(1)
    limiter.mean_duration_s = 0.2

    async def image() -> None:
        async with limiter.slot():
            await asyncio.Event().wait()

    task = asyncio.create_task(image())
    await until(lambda: limiter.in_use == 1)
    task.cancel()
    async with asyncio.timeout(30), limiter.slot():
        assert limiter.in_use == 1
    assert limiter.in_use == 0


class OneAtATime:
    """A detector that takes one image at a time, in order; it counts those that it has finished."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self.finished = 0

    async def detect(self) -> None:
        async with self._lock:
            await asyncio.sleep(0)
            self.finished += 1


@pytest.mark.parametrize("clients", [1, 2, 4])
async def test_beside_slices_whole_images_take_at_most_twice_as_many_turns(clients: int) -> None:
    """Counted in what the detector finishes between an image's request and its result; alone it is `clients`."""
    limiter, detector = ConcurrencyLimiter(8), OneAtATime()
    taken: list[int] = []
    slices = 0

    async def slice_after_slice() -> None:
        nonlocal slices
        while True:
            async with limiter.slot(sliced=True):
                await detector.detect()
                slices += 1

    async def image_after_image() -> None:
        for _ in range(50):
            before = detector.finished
            async with limiter.slot():
                await detector.detect()
            taken.append(detector.finished - before)
            for _ in range(3):  # the client reads the response
                await asyncio.sleep(0)

    large = [asyncio.create_task(slice_after_slice()) for _ in range(4)]
    await until(lambda: slices > 10)
    slices = 0
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(image_after_image())
    assert slices >= 25, "the large image goes on"
    for task in large:
        task.cancel()
    await asyncio.gather(*large, return_exceptions=True)
    assert sorted(taken)[int(0.95 * len(taken))] <= 2 * clients


async def test_slices_have_all_slots_again_when_no_whole_image_came_for_a_moment() -> None:
    limiter = ConcurrencyLimiter(4)
    go = asyncio.Event()

    async def one_slice() -> None:
        async with limiter.slot(sliced=True):
            await go.wait()

    async with limiter.slot():
        tasks = [asyncio.create_task(one_slice()) for _ in range(4)]
        await until(lambda: limiter.waiting == 3)
        assert limiter.in_use == 2
    await asyncio.sleep(0)
    assert (limiter.in_use, limiter.waiting) == (1, 3), "a whole image may come next"
    await until(lambda: limiter.waiting == 0)
    tasks[0].cancel()
    go.set()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_slices_are_not_starved_by_whole_images() -> None:
    limiter = ConcurrencyLimiter(1)
    order: list[str] = []

    async def work(kind: str) -> None:
        async with limiter.slot(sliced=kind == "slice"):
            order.append(kind)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for kind in ("whole", "slice", "whole", "whole", "slice", "whole"):
            group.create_task(work(kind))
    assert order == ["whole", "slice", "whole", "whole", "slice", "whole"]


async def test_an_old_mean_is_not_recent(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = ConcurrencyLimiter(1)
    assert limiter.recent_duration_s() is None
    async with limiter.slot():
        pass
    assert limiter.recent_duration_s() == limiter.mean_duration_s
    loop = asyncio.get_running_loop()
    later = loop.time() + 61
    monkeypatch.setattr(loop, "time", lambda: later)
    assert limiter.recent_duration_s() is None
