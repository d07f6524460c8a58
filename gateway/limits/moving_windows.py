"""The requests that each client has sent in moving windows of time."""

from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

_MAX_CLIENTS = 10_000
_MAX_TIMES = 1_000_000  # of all clients together: about 35 MB


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `requests` requests in `seconds` seconds."""

    requests: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on one request.

    Attributes:
        allowed: Whether the request is allowed; a rejected request is not counted.
        rate: The rate that rejected it, or else the rate with the fewest remaining requests.
        remaining: How many more requests that rate allows now.
        wait: Seconds until that rate allows one more request than now.
    """

    allowed: bool
    rate: Rate
    remaining: int
    wait: float


class MovingWindows:
    """Counts requests by client; a rejected client may retry as soon as its oldest request leaves the window.

    Memory is bounded: beyond `max_clients` clients, or `max_times` request times of all clients together, the least
    recently active clients are forgotten.
    """

    def __init__(
        self,
        rates: Sequence[Rate],
        *,
        max_clients: int = _MAX_CLIENTS,
        max_times: int = _MAX_TIMES,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._rates = tuple(rates)
        self._longest = max(rate.seconds for rate in rates)
        self._most = max(rate.requests for rate in rates)
        self._max_clients = max_clients
        self._max_times = max_times
        self._clock = clock
        # Client → the times of its requests, oldest first; the most recently active client is last.
        self._clients: OrderedDict[str, deque[float]] = OrderedDict()
        self._times = 0

    @property
    def clients(self) -> int:
        """Number of clients in memory."""
        return len(self._clients)

    @property
    def times(self) -> int:
        """Number of request times in memory."""
        return self._times

    def acquire(self, client: str) -> Decision:
        """Count a request of `client` if every rate allows it."""
        now = self._clock()
        times = self._clients.setdefault(client, deque())
        self._clients.move_to_end(client)
        self._drop(times, now - self._longest)
        before = self._decide(times, now)
        if not before.allowed:
            return before
        self._append(times, now)
        self._forget(now)
        return self._decide(times, now, counted=True)

    def charge(self, client: str, count: int) -> Decision:
        """Count `count` requests of `client` that are in work already, whatever the rates allow.

        Those that exceed the rates count at the times at which the rates would allow them, so that the client's next
        request is allowed when all of them are paid for.
        """
        now = self._clock()
        times = self._clients.setdefault(client, deque())
        self._clients.move_to_end(client)
        for _ in range(count):
            allowed = [times[-rate.requests] + rate.seconds for rate in self._rates if len(times) >= rate.requests]
            self._append(times, max(now, times[-1] if times else now, *allowed))
        self._forget(now)
        return self._decide(times, now, counted=True)

    def _append(self, times: deque[float], when: float) -> None:
        if len(times) == self._most:
            self._drop_oldest(times)
        times.append(when)
        self._times += 1

    def _decide(self, times: deque[float], now: float, *, counted: bool = False) -> Decision:
        """The decision on the next request or, if it is `counted`, on the last one in `times`."""
        decisions = []
        for rate in self._rates:
            first = bisect_right(times, now - rate.seconds)
            used = len(times) - first
            next_free = max(first, len(times) - rate.requests)
            wait = rate.seconds - (now - times[next_free]) if used else 0.0
            remaining = max(0, rate.requests - used)
            decisions.append(Decision(counted or remaining > 0, rate, remaining, wait))
        return min(decisions, key=lambda decision: (decision.remaining, -decision.wait))

    def _drop(self, times: deque[float], until: float) -> None:
        while times and times[0] <= until:
            self._drop_oldest(times)

    def _drop_oldest(self, times: deque[float]) -> None:
        times.popleft()
        self._times -= 1

    def _forget(self, now: float) -> None:
        # The least recently active client is first. This also frees the memory of clients that are gone.
        while len(self._clients) > 1:
            client, times = next(iter(self._clients.items()))
            full = len(self._clients) > self._max_clients or self._times > self._max_times
            if not full and times and times[-1] > now - self._longest:
                return
            self._times -= len(times)
            del self._clients[client]


class Windows(Protocol):
    """Counts of requests, in this process or shared with others."""

    async def acquire(self, client: str) -> Decision:
        """Count a request of `client` if every rate allows it."""
        ...

    async def charge(self, client: str, count: int) -> Decision:
        """Count `count` requests of `client` that are in work already."""
        ...

    async def close(self) -> None:
        """Close what is open."""
        ...


class OwnWindows:
    """The counts of this process alone."""

    def __init__(self, windows: MovingWindows) -> None:
        self._windows = windows

    async def acquire(self, client: str) -> Decision:
        """See `MovingWindows.acquire`."""
        return self._windows.acquire(client)

    async def charge(self, client: str, count: int) -> Decision:
        """See `MovingWindows.charge`."""
        return self._windows.charge(client, count)

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(slots=True)
class Counted:
    """An allowed request, to which more may be charged."""

    windows: Windows
    client: str
    decision: Decision


_current: ContextVar[Counted | None] = ContextVar("counted_request", default=None)


@contextmanager
def counting(counted: Counted) -> Iterator[None]:
    """Let `charge_requests` charge this request inside the context."""
    token = _current.set(counted)
    try:
        yield
    finally:
        _current.reset(token)


async def charge_requests(count: int) -> None:
    """Count the current request `count` times more, if there is a rate limit."""
    counted = _current.get()
    if counted is not None and count > 0:
        counted.decision = await counted.windows.charge(counted.client, count)
