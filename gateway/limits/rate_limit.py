"""Rate limit: how many detection requests a client may send in a moving window; each slice of an image counts as one.

The syntax of rates, and the counts in Redis (`shared_windows`), are those of the library `limits`. Its memory storages
are not used, because they either never forget a client or visit all clients at every request.
"""

import math
from collections.abc import Collection
from http import HTTPStatus
from ipaddress import IPv6Address, IPv6Network, ip_address

from limits import parse_many
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.error_responses import error_response
from gateway.limits.moving_windows import Counted, Decision, Rate, Windows, counting
from gateway.observability import metrics
from gateway.security.api_keys import KEY_NAME

_MAX_REQUESTS = 100_000
_MAX_SECONDS = 366 * 24 * 60 * 60
# One subscriber usually has a whole /64 of IPv6 addresses.
_IPV6_PREFIX = 64


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


class RateLimit:
    """ASGI middleware: responds 429 to a client that POSTs to `paths` more often than the rates allow.

    Clients are told apart by the name of their API key, or by address without one. A batch counts as one request, and
    an image that is detected in slices as one for each of them.
    """

    def __init__(self, app: ASGIApp, windows: Windows, paths: Collection[str]) -> None:
        self._app = app
        self._windows = windows
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application and add the RateLimit headers, or reject the request."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return
        client = client_of(scope)
        decision = await self._windows.acquire(client)
        counted = Counted(self._windows, client, decision)
        if not decision.allowed:
            metrics.record_rejection("rate")
            wait = _wait_s(decision)
            message = (
                f"More than {decision.rate.requests:,} requests in {decision.rate.seconds:,} s: try again in {wait} s"
            )
            headers = _headers(counted.decision) | {"Retry-After": str(wait)}
            await error_response(HTTPStatus.TOO_MANY_REQUESTS, message, headers)(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_headers(counted.decision))
            await send(message)

        with counting(counted):
            await self._app(scope, receive, send_with_headers)


def _headers(decision: Decision) -> dict[str, str]:
    return {
        "RateLimit-Limit": str(decision.rate.requests),
        "RateLimit-Remaining": str(decision.remaining),
        "RateLimit-Reset": str(_wait_s(decision)),
    }


def _wait_s(decision: Decision) -> int:
    return max(1, math.ceil(decision.wait))


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
