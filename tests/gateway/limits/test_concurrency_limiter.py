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
