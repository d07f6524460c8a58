"""Memory that is waited for in order."""

import asyncio

from gateway.limits.memory_budget import MemoryBudget


async def test_a_large_reservation_is_not_overtaken_by_small_ones() -> None:
    budget = MemoryBudget(10)
    order: list[int] = []

    async def use(count: int) -> None:
        await budget.acquire(count)
        order.append(count)
        assert budget.reserved_bytes <= 10
        await asyncio.sleep(0.01)
        budget.release(count)

    async with asyncio.TaskGroup() as group:
        for count in (6, 10, 1, 2):
            group.create_task(use(count))
    assert order == [6, 10, 1, 2]
    assert budget.reserved_bytes == 0


async def test_who_is_cancelled_while_waiting_holds_nothing() -> None:
    budget = MemoryBudget(10)
    await budget.acquire(8)
    first = asyncio.create_task(budget.acquire(9))
    second = asyncio.create_task(budget.acquire(2))
    await asyncio.sleep(0)
    assert not second.done(), "it waits behind the first"
    first.cancel()
    await asyncio.wait([first, second], timeout=10)
    assert second.done()
    assert budget.reserved_bytes == 10
    budget.release(8)
    budget.release(2)
    third = asyncio.create_task(budget.acquire(10))
    await asyncio.sleep(0)
    fourth = asyncio.create_task(budget.acquire(10))
    await asyncio.sleep(0)
    await third
    budget.release(10)  # grants the fourth, which is cancelled before it runs
    fourth.cancel()
    await asyncio.wait([fourth], timeout=10)
    assert budget.reserved_bytes == 0
