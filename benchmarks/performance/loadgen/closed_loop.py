"""A closed loop: a fixed number of clients, each of which sends its next request when it has its response."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

# Sends one request and waits for its response; raises `RequestError` if there is none or it is not as it must be.
SendRequest = Callable[[], object]
# A slow server is loaded for longer than `seconds` until it has given enough responses, but at most for this multiple.
_MAX_DURATION_FACTOR = 8
# The rate of a client is known from its own responses if it has at least this many.
_MIN_RESPONSES_FOR_RATE = 3


class RequestError(Exception):
    """A request has no response, or a wrong one."""


class Client(Protocol):
    """A kind of request to one server, which several concurrent clients can send."""

    @property
    def name(self) -> str:
        """Name in the results and reports."""

    def session(self) -> AbstractContextManager[SendRequest]:
        """Open the connection of one of the concurrent clients."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What one run of the closed loop measured.

    Attributes:
        latencies_ms: float64 [requests], of the successful requests.
        throughput: responses a second of all clients together.
        errors: number of failed requests.
        first_error: message of the first failure; empty if there is none.
        seconds: duration of the run, until its last response.
    """

    latencies_ms: NDArray[np.float64]
    throughput: float
    errors: int
    first_error: str
    seconds: float


def run_closed_loop(client: Client, concurrency: int, seconds: float, min_responses: int = 0) -> LoadResult:
    """Send requests for some time, then wait for the requests in flight.

    Args:
        client: sends the requests.
        concurrency: number of concurrent clients; each sends at least one request.
        seconds: duration of the load.
        min_responses: the load continues until there are so many, but for no more than eight times `seconds`.

    Raises:
        RequestError: a client cannot connect.
    """
    lock = threading.Lock()
    by_client: list[list[tuple[float, float]]] = []  # begin and end of each successful request
    failures: list[str] = []
    exceptions: list[Exception] = []
    all_connected = threading.Barrier(concurrency + 1)
    started = 0.0

    def may_continue(now: float) -> bool:
        if now - started < seconds:
            return True
        responses = sum(map(len, by_client)) + len(failures)
        return responses < min_responses and now - started < _MAX_DURATION_FACTOR * seconds

    def run_client() -> None:
        own: list[tuple[float, float]] = []
        by_client.append(own)
        try:
            with client.session() as send:
                all_connected.wait()
                while may_continue(begin := time.perf_counter()) or not own:
                    try:
                        send()
                    except RequestError as error:
                        with lock:
                            failures.append(str(error))
                        if not may_continue(time.perf_counter()):
                            return
                    else:
                        own.append((begin, time.perf_counter()))
        except Exception as error:  # raised below, in the thread that waits
            exceptions.append(error)
            all_connected.abort()

    threads = [threading.Thread(target=run_client, daemon=True) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    started = time.perf_counter()
    try:
        all_connected.wait()
    except threading.BrokenBarrierError:
        pass
    else:
        started = time.perf_counter()
    for thread in threads:
        thread.join()
    causes = [error for error in exceptions if not isinstance(error, threading.BrokenBarrierError)]
    if causes:
        raise RequestError(f"{client.name}: {causes[0]}") from causes[0]
    latencies = [end - begin for own in by_client for begin, end in own]
    return LoadResult(
        1e3 * np.array(latencies),
        throughput(by_client, started),
        len(failures),
        failures[0] if failures else "",
        time.perf_counter() - started,
    )


def throughput(by_client: Sequence[Sequence[tuple[float, float]]], started: float) -> float:
    """Responses a second of all clients: the sum of their rates.

    Where a client has fewer than three responses, it is all responses over the time from the start to the last one.

    Args:
        by_client: begin and end of each request of each client, in seconds.
        started: when the clients began.
    """
    if min(map(len, by_client), default=0) >= _MIN_RESPONSES_FOR_RATE:
        return sum(map(rate, by_client))
    ends = [end for own in by_client for _, end in own]
    return len(ends) / (max(ends) - started) if ends else 0.0


def rate(requests: Sequence[tuple[float, float]]) -> float:
    """Responses a second of one client, from its first response to its last one.

    The time before the first response is left out, because the first requests meet an empty queue. A client always has
    a request in flight, so responses that arrive in bursts, as those of a batch do, are not counted twice.

    Args:
        requests: begin and end of each, in seconds, in order; at least two.
    """
    return (len(requests) - 1) / (requests[-1][1] - requests[0][1])
