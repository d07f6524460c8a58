"""Rate limit: how many detection requests a client may send in a moving window.

The syntax of rates is that of the library `limits`. Its memory storages are not used, because they either never forget
a client or visit all clients at every request.
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
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.error_responses import error_response
from gateway.observability import metrics
from gateway.security.api_keys import KEY_NAME

_MAX_REQUESTS = 100_000
_MAX_SECONDS = 366 * 24 * 60 * 60
_MAX_CLIENTS = 10_000
_MAX_TIMES = 1_000_000  # of all clients together: about 35 MB
# One subscriber usually has a whole /64 of IPv6 addresses.
_IPV6_PREFIX = 64


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `requests` requests in `seconds` seconds."""

    requests: int
    seconds: int


def parse_rates(value: object) -> object:
    """Parse a string such as `10/second` or `10/second; 600/hour`; other types are returned unchanged.

    Raises:
        ValueError: The string is malformed, or a rate is out of range; the text gives the format.
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
        if len(times) == self._most:
            self._drop_oldest(times)
        times.append(now)
        self._times += 1
        self._forget(now)
        return self._decide(times, now, counted=True)

    def _decide(self, times: deque[float], now: float, *, counted: bool = False) -> Decision:
        """The decision on the next request or, if it is `counted`, on the last one in `times`."""
        decisions = []
        for rate in self._rates:
            first = bisect_right(times, now - rate.seconds)
            used = len(times) - first
            wait = rate.seconds - (now - times[first]) if used else 0.0
            decisions.append(Decision(counted or used < rate.requests, rate, rate.requests - used, wait))
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


class RateLimit:
    """ASGI middleware: responds 429 to a client that POSTs to `paths` more often than the rates allow.

    Clients are told apart by the name of their API key, or by address without one. A batch counts as one request.
    """

    def __init__(self, app: ASGIApp, windows: MovingWindows, paths: Collection[str]) -> None:
        self._app = app
        self._windows = windows
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application and add the RateLimit headers, or reject the request."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return
        decision = self._windows.acquire(client_of(scope))
        wait = max(1, math.ceil(decision.wait))
        headers = {
            "RateLimit-Limit": str(decision.rate.requests),
            "RateLimit-Remaining": str(decision.remaining),
            "RateLimit-Reset": str(wait),
        }
        if not decision.allowed:
            metrics.record_rejection("rate")
            message = (
                f"More than {decision.rate.requests:,} requests in {decision.rate.seconds:,} s: try again in {wait} s"
            )
            headers["Retry-After"] = str(wait)
            await error_response(HTTPStatus.TOO_MANY_REQUESTS, message, headers)(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def client_of(scope: Scope) -> str:
    """The client of a request: the name of its API key, or its address (of IPv6 the first 64 bits)."""
    if name := scope.get(KEY_NAME):
        return f"key {name}"
    client = scope.get("client")
    if client is None:  # a Unix socket
        return "address unknown"
    try:
        address = ip_address(client[0])
    except ValueError:  # a trusted proxy may send a name instead of an address
        return f"address {client[0][:64]}"
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            return f"address {IPv6Network((int(address), _IPV6_PREFIX), strict=False)}"
        address = address.ipv4_mapped
    return f"address {address}"
