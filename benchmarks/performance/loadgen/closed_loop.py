"""A closed loop: so many clients, each asking again as soon as it has its answer."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

# Asks once; raises `AskError` if the answer is not a good one.
Ask = Callable[[], object]
# A slow server is asked for longer than was said, but not for ever.
_LONGEST = 8
# Answers of each client from which on its own rate says enough.
_ENOUGH = 3


class AskError(Exception):
    """A request was not answered, or not as it must be."""


class Client(Protocol):
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
        throughput: answers a second, of all clients.
        errors: requests that were not answered well.
        first_error: what the first of them said; empty if there is none.
        seconds: of the whole turn, to its last answer.
    """

    latencies_ms: NDArray[np.float64]
    throughput: float
    errors: int
    first_error: str
    seconds: float


def drive(client: Client, concurrency: int, seconds: float, least: int = 0) -> Turn:
    """Generate load for some seconds and a number of responses, then wait for the requests in flight.

    Args:
        client: sends the requests.
        concurrency: clients; each asks once at least.
        seconds: of load; eight times as many at most, however slow the answers.
        least: answers.

    Raises:
        AskError: a client could not even connect.
    """
    lock = threading.Lock()
    by_client: list[list[tuple[float, float]]] = []  # begin and end of each answer
    failures: list[str] = []
    broken: list[Exception] = []
    ready = threading.Barrier(concurrency + 1)
    started = 0.0

    def may_continue(now: float) -> bool:
        if now - started < seconds:
            return True
        answered = sum(map(len, by_client)) + len(failures)
        return answered < least and now - started < _LONGEST * seconds

    def run_client() -> None:
        own: list[tuple[float, float]] = []
        by_client.append(own)
        try:
            with client.session() as ask:
                ready.wait()
                while may_continue(begin := time.perf_counter()) or not own:
                    try:
                        ask()
                    except AskError as error:
                        with lock:
                            failures.append(str(error))
                        if not may_continue(time.perf_counter()):
                            return
                    else:
                        own.append((begin, time.perf_counter()))
        except Exception as error:  # told by the one who waits
            broken.append(error)
            ready.abort()

    threads = [threading.Thread(target=run_client, daemon=True) for _ in range(concurrency)]
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
    causes = [error for error in broken if not isinstance(error, threading.BrokenBarrierError)]
    if causes:
        raise AskError(f"{client.name}: {causes[0]}") from causes[0]
    latencies = [end - begin for own in by_client for begin, end in own]
    return Turn(
        1e3 * np.array(latencies),
        throughput(by_client, started),
        len(failures),
        failures[0] if failures else "",
        time.perf_counter() - started,
    )


def throughput(by_client: Sequence[Sequence[tuple[float, float]]], started: float) -> float:
    """Answers a second of all clients; where they are so slow that there are few, from the start to the last one.

    Args:
        by_client: begin and end of each answer of each client, in seconds.
        started: when the clients began.
    """
    if min(map(len, by_client), default=0) >= _ENOUGH:
        return sum(map(rate, by_client))
    ends = [end for own in by_client for _, end in own]
    return len(ends) / (max(ends) - started) if ends else 0.0


def rate(answers: Sequence[tuple[float, float]]) -> float:
    """Answers a second of one client, who is never without a request: from its first answer to its last one.

    So neither the beginning counts, when nobody stands in the queue, nor do answers that come in bursts, which is how
    a batch is answered.

    Args:
        answers: begin and end of each, in seconds, in order; two at least.
    """
    return (len(answers) - 1) / (answers[-1][1] - answers[0][1])
