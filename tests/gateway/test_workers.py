import os
import threading

from gateway.workers import Workers


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


async def test_what_is_needed_later_leaves_the_processor_to_others() -> None:
    workers = Workers(2)
    try:
        before = niceness()
        assert await workers.run(niceness) == before
        assert await workers.run_patiently(niceness) == min(19, before + 10)
        assert (niceness(), await workers.run(niceness)) == (before, before)
    finally:
        workers.close()
