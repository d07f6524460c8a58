"""Slots for pictures in work."""

import asyncio

import pytest

from gateway.admission import Admission
from gateway.request_scope import RequestScope, _current
from tests.gateway.live import until


async def test_slots_are_bounded_and_first_come_first_served() -> None:
    admission = Admission(2)
    order: list[int] = []
    go = asyncio.Event()
    most = 0

    async def picture(number: int) -> None:
        nonlocal most
        async with admission.slot():
            order.append(number)
            most = max(most, admission.in_use)
            await go.wait()
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(picture(number)) for number in range(8)]
    await until(lambda: admission.waiting == 6)
    assert (admission.in_use, order) == (2, [0, 1])
    tasks[3].cancel()  # while it waits
    await until(lambda: admission.waiting == 5)
    go.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [0, 1, 2, 4, 5, 6, 7]
    assert most == 2
    assert (admission.in_use, admission.waiting) == (0, 0)


async def test_waiting_is_the_stage_queue() -> None:
    admission = Admission(1)
    scope = RequestScope()
    token = _current.set(scope)
    async with admission.slot():
        pass
    _current.reset(token)
    assert "queue" in scope.seconds


async def test_an_error_gives_the_slot_back() -> None:
    admission = Admission(1)
    for _ in range(3):
        with pytest.raises(ValueError, match="no"):
            async with admission.slot():
                raise ValueError("no")
    assert admission.in_use == 0
    assert admission.seconds_a_picture is None  # a refused picture says nothing of the others


async def test_estimate() -> None:
    admission = Admission(4)
    assert admission.wait_s(100) == 0
    async with admission.slot():
        await asyncio.sleep(0.02)
    assert admission.seconds_a_picture is not None
    assert admission.seconds_a_picture >= 0.02
    assert admission.wait_s(8) == pytest.approx(2 * admission.seconds_a_picture)


@pytest.mark.parametrize(("usual", "kept"), [(None, False), (0.0, False), (100.0, True)])
async def test_a_cancelled_picture_keeps_its_slot_as_long_as_pictures_take(usual: float | None, kept: bool) -> None:
    admission = Admission(1)
    admission.seconds_a_picture = usual

    async def picture() -> None:
        async with admission.slot():
            await asyncio.Event().wait()

    task = asyncio.create_task(picture())
    await until(lambda: admission.in_use == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert admission.in_use == int(kept)


async def test_a_slot_that_was_kept_comes_back() -> None:
    admission = Admission(1)
    admission.seconds_a_picture = 0.2

    async def picture() -> None:
        async with admission.slot():
            await asyncio.Event().wait()

    task = asyncio.create_task(picture())
    await until(lambda: admission.in_use == 1)
    task.cancel()
    async with asyncio.timeout(30), admission.slot():
        assert admission.in_use == 1
    assert admission.in_use == 0
