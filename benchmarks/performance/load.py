"""A closed loop: so many clients, each asking again as soon as it has its answer."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

# Asks once; raises `AskError` if the answer is not a good one.
Ask = Callable[[], object]
# A slow server is asked for longer than was said, but not for ever.
_LONGEST = 8


class AskError(Exception):
    """A request was not answered, or not as it must be."""


class Way(Protocol):
    """Something that can be asked, by several clients at once."""

    @property
    def name(self) -> str:
        """For people, and in the results."""

    def session(self) -> AbstractContextManager[Ask]:
        """One client's own connection."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What a turn of load saw.

    Attributes:
        latencies_ms: float64 [requests], of the requests that were answered.
        throughput: answers a second while all clients were at work.
        errors: requests that were not answered well.
        first_error: what the first of them said; empty if there is none.
        seconds: of the whole turn, to its last answer.
    """

    latencies_ms: NDArray[np.float64]
    throughput: float
    errors: int
    first_error: str
    seconds: float


def drive(way: Way, concurrency: int, seconds: float, least: int = 0) -> Turn:
    """Put load on, for so many seconds and answers, then wait for what is under way.

    Args:
        way: what is asked.
        concurrency: clients; each asks once at least.
        seconds: of load; eight times as many at most, however slow the answers.
        least: answers.

    Raises:
        AskError: a client could not even connect.
    """
    lock = threading.Lock()
    begins: list[float] = []
    ends: list[float] = []
    failures: list[str] = []
    broken: list[Exception] = []
    ready = threading.Barrier(concurrency + 1)
    started = 0.0

    def go_on(now: float) -> bool:
        if now - started < seconds:
            return True
        return len(ends) + len(failures) < least and now - started < _LONGEST * seconds

    def client() -> None:
        try:
            with way.session() as ask:
                ready.wait()
                while go_on(begin := time.perf_counter()):
                    try:
                        ask()
                    except AskError as error:
                        with lock:
                            failures.append(str(error))
                        continue
                    end = time.perf_counter()
                    with lock:
                        begins.append(begin)
                        ends.append(end)
        except Exception as error:  # told by the one who waits
            broken.append(error)
            ready.abort()

    threads = [threading.Thread(target=client, daemon=True) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    started = time.perf_counter()
    try:
        ready.wait()
    except threading.BrokenBarrierError:
        pass
    else:
        started = time.perf_counter()
    for thread in threads:
        thread.join()
    told = [error for error in broken if not isinstance(error, threading.BrokenBarrierError)]
    if told:
        raise AskError(f"{way.name}: {told[0]}") from told[0]
    begun, done = np.array(begins), np.array(ends)
    return Turn(
        (done - begun) * 1e3,
        rate(done, last_begin=float(begun.max(initial=started))),
        len(failures),
        failures[0] if failures else "",
        time.perf_counter() - started,
    )


def rate(ends: NDArray[np.float64], last_begin: float) -> float:
    """Answers a second, from the first answer to the last one before the load ebbs; 0 of fewer than two.

    Args:
        ends: float64 [n], seconds, in any order.
        last_begin: when the last request was sent: after it clients run out of work.
    """
    steady = np.sort(ends)
    steady = steady[: max(int(np.searchsorted(steady, last_begin, side="right")), 2)]
    if len(steady) < 2 or steady[-1] <= steady[0]:
        return 0.0
    return float((len(steady) - 1) / (steady[-1] - steady[0]))
