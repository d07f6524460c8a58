"""Rate limit: how many images a client may send in a moving window.

The syntax is that of the library `limits`. Its memory storages are not used: they never forget a client, or visit
every client at every request.
"""

import math
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import IPv6Address, IPv6Network, ip_address
from time import monotonic

from limits import parse_many
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.error_responses import error_response
from gateway.security.api_keys import KEY_NAME

_MAX_REQUESTS = 100_000
_MAX_SECONDS = 366 * 24 * 60 * 60
_MAX_CLIENTS = 10_000
_MAX_TIMES = 1_000_000  # of all clients: some 35 MB
# One subscriber has a whole /64 of IPv6 addresses.
_IPV6_PREFIX = 64


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests in so many seconds."""

    requests: int
    seconds: int


def parse_rates(value: object) -> object:
    """Rates from a text such as `10/second` or `10/second; 600/hour`; anything but a text is left as it is.

    Raises:
        ValueError: it is none; the text says what would be.
    """
    if not isinstance(value, str):
        return value
    try:
        rates = tuple(Rate(item.amount, item.get_expiry()) for item in parse_many(value))
    except ValueError:
        raise ValueError(
            "send a number per second, minute, hour or day, such as `10/second`, `600/minute` or both: "
            "`10/second; 600/hour`"
        ) from None
    for rate in rates:
        if not 1 <= rate.requests <= _MAX_REQUESTS or not 1 <= rate.seconds <= _MAX_SECONDS:
            raise ValueError(f"a rate is 1 to {_MAX_REQUESTS:,} requests in 1 second to 366 days")
    return rates


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the limiter says to one request.

    Attributes:
        allowed: Whether it may pass; if not, it was not counted.
        rate: The rate that refused it, or the one with the least left.
        remaining: How many more requests that rate allows now.
        wait: Seconds until that rate allows one more than now.
    """

    allowed: bool
    rate: Rate
    remaining: int
    wait: float


class MovingWindows:
    """Counts requests by client; a client that is refused waits exactly until its oldest request leaves the window.

    Memory is bounded: the clients that were quiet for longest are forgotten beyond `max_clients`, and beyond
    `max_times` requests that are remembered of all of them.
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
        # Client → the times of its requests, oldest first; the client that asked last is the last.
        self._clients: OrderedDict[str, deque[float]] = OrderedDict()
        self._times = 0

    @property
    def clients(self) -> int:
        """How many clients are remembered."""
        return len(self._clients)

    @property
    def times(self) -> int:
        """How many requests are remembered."""
        return self._times

    def take(self, client: str) -> Verdict:
        """Count a request of `client`, if every rate allows it."""
        now = self._clock()
        times = self._clients.setdefault(client, deque())
        self._clients.move_to_end(client)
        self._drop(times, now - self._longest)
        before = self._verdict(times, now)
        if not before.allowed:
            return before
        if len(times) == self._most:
            self._drop_oldest(times)
        times.append(now)
        self._times += 1
        self._forget(now)
        return self._verdict(times, now, counted=True)

    def _verdict(self, times: deque[float], now: float, *, counted: bool = False) -> Verdict:
        """What the rates say to the next request, or, if it is `counted`, to the last of `times`."""
        verdicts = []
        for rate in self._rates:
            first = bisect_right(times, now - rate.seconds)
            used = len(times) - first
            wait = rate.seconds - (now - times[first]) if used else 0.0
            verdicts.append(Verdict(counted or used < rate.requests, rate, rate.requests - used, wait))
        return min(verdicts, key=lambda verdict: (verdict.remaining, -verdict.wait))

    def _drop(self, times: deque[float], until: float) -> None:
        while times and times[0] <= until:
            self._drop_oldest(times)

    def _drop_oldest(self, times: deque[float]) -> None:
        times.popleft()
        self._times -= 1

    def _forget(self, now: float) -> None:
        # Who was quiet for longest is at the front: also how the memory of clients that are gone is returned.
        while len(self._clients) > 1:
            client, times = next(iter(self._clients.items()))
            full = len(self._clients) > self._max_clients or self._times > self._max_times
            if not full and times and times[-1] > now - self._longest:
                return
            self._times -= len(times)
            del self._clients[client]


class RateLimit:
    """ASGI middleware: answers 429 to a client that POSTs to `paths` more often than the rates allow.

    A client is the name of its API key, or its address where it has none. A batch counts as one request.
    """

    def __init__(self, app: ASGIApp, windows: MovingWindows, paths: Collection[str]) -> None:
        self._app = app
        self._windows = windows
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application and tell what is left, or refuse."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return
        verdict = self._windows.take(client_of(scope))
        wait = max(1, math.ceil(verdict.wait))
        told = {
            "RateLimit-Limit": str(verdict.rate.requests),
            "RateLimit-Remaining": str(verdict.remaining),
            "RateLimit-Reset": str(wait),
        }
        if not verdict.allowed:
            problem = (
                f"More than {verdict.rate.requests:,} requests in {verdict.rate.seconds:,} s: try again in {wait} s"
            )
            headers = {"Retry-After": str(wait), **told}
            await error_response(HTTPStatus.TOO_MANY_REQUESTS, problem, headers)(scope, receive, send)
            return
        lines = [(name.lower().encode(), value.encode()) for name, value in told.items()]

        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *lines]}
            await send(message)

        await self._app(scope, receive, telling)


def client_of(scope: Scope) -> str:
    """Whom a request counts for: the name of its API key, or its address (IPv6: the first 64 bits)."""
    if name := scope.get(KEY_NAME):
        return f"key {name}"
    client = scope.get("client")
    if client is None:  # a Unix socket
        return "address unknown"
    try:
        address = ip_address(client[0])
    except ValueError:  # what a trusted proxy calls it
        return f"address {client[0][:64]}"
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            return f"address {IPv6Network((int(address), _IPV6_PREFIX), strict=False)}"
        address = address.ipv4_mapped
    return f"address {address}"
