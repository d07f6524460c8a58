"""The pool's threads: replaced when they are stuck, bounded in number, never waited for without end."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, wait
from typing import Any

import pytest

from sod.errors import TaskTimeoutError, ThreadsExhaustedError
from sod.thread_pool import ReplacingThreadPool


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Ends every stuck call after the test."""
    event = threading.Event()
    yield event
    event.set()


def test_results_and_errors_reach_the_caller() -> None:
    pool = ReplacingThreadPool(2, time_limit_s=60)
    assert [pool.submit(pow, 2, n).result(10) for n in range(20)] == [2**n for n in range(20)]
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 / 0).result(10)
    pool.shutdown()


def test_no_more_calls_run_at_a_time_than_there_are_threads() -> None:
    pool = ReplacingThreadPool(3, time_limit_s=60)
    lock, now, most = threading.Lock(), [0], [0]

    def count() -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1

    wait([pool.submit(count) for _ in range(30)], 30)
    assert most[0] == 3


def test_a_stuck_thread_is_replaced(release: threading.Event) -> None:
    pool = ReplacingThreadPool(1, time_limit_s=0.05)
    stuck = pool.submit(release.wait)
    behind = pool.submit(pow, 3, 2)
    with pytest.raises(TaskTimeoutError, match=r"not processed within 0\.05 s"):
        stuck.result(10)
    assert behind.result(10) == 9
    assert not pool.exhausted


def test_the_number_of_abandoned_threads_is_bounded(release: threading.Event) -> None:
    pool = ReplacingThreadPool(2, time_limit_s=0.05, max_abandoned=1)
    before = threading.active_count()
    stuck: list[Future[Any]] = []
    while not pool.exhausted:
        stuck.append(pool.submit(release.wait))
        wait(stuck, 10)
    assert threading.active_count() - before <= 4  # two, one in a stuck one's place, and the watcher
    with pytest.raises(ThreadsExhaustedError, match="stuck"):
        pool.submit(pow, 2, 2)


def test_a_pool_recovers_when_its_stuck_calls_return(release: threading.Event) -> None:
    pool = ReplacingThreadPool(1, time_limit_s=0.05, max_abandoned=0)
    with pytest.raises(TaskTimeoutError):
        pool.submit(release.wait).result(10)
    assert pool.exhausted
    release.set()
    deadline = time.monotonic() + 10
    while pool.exhausted and time.monotonic() < deadline:
        time.sleep(0.01)
    assert pool.submit(pow, 2, 5).result(10) == 32


def test_what_waits_when_the_last_thread_is_stuck_is_told(release: threading.Event) -> None:
    pool = ReplacingThreadPool(1, time_limit_s=0.05, max_abandoned=0)
    stuck, behind = pool.submit(release.wait), pool.submit(pow, 2, 2)
    with pytest.raises(TaskTimeoutError):
        stuck.result(10)
    with pytest.raises(ThreadsExhaustedError):
        behind.result(10)


def test_shutdown_finishes_or_cancels_what_waits() -> None:
    pool = ReplacingThreadPool(1, time_limit_s=60)
    running, waiting = pool.submit(time.sleep, 0.1), pool.submit(pow, 2, 2)
    pool.shutdown(cancel_futures=True)
    assert running.done()
    with pytest.raises(CancelledError):
        waiting.result(0)
    with pytest.raises(RuntimeError, match="shut down"):
        pool.submit(pow, 2, 2)


def test_shutdown_does_not_wait_for_a_stuck_call(release: threading.Event) -> None:
    pool = ReplacingThreadPool(1, time_limit_s=60)
    started = threading.Event()
    pool.submit(lambda: (started.set(), release.wait()))
    assert started.wait(10)
    pool.shutdown(timeout_s=0.05)  # returns


def test_a_process_ends_while_a_call_is_stuck() -> None:
    code = (
        "import threading; from sod.thread_pool import ReplacingThreadPool;"
        "pool = ReplacingThreadPool(1, time_limit_s=3600); started = threading.Event();"
        "pool.submit(lambda: (started.set(), threading.Event().wait())); started.wait(); print('ended')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "ended\n"
