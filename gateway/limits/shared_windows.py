"""Counts of requests in Redis, which all workers and gateways share."""

import asyncio
import logging
from collections.abc import Sequence
from time import monotonic, time
from typing import Any, Literal, cast

from limits import RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

from gateway.limits.moving_windows import Decision, Rate
from gateway.observability import metrics

_log = logging.getLogger(__name__)
_PREFIX = "sod-rate"
_TIMEOUT_S = 0.5
# After a failure Redis is not asked for so long, so that it does not delay every request.
_PAUSE_S = 2.0

Failure = Literal["allow", "refuse"]


class SharedWindows:
    """Moving windows of `limits` in Redis.

    While Redis cannot be asked, requests are allowed or refused, as set, and counted by a metric.
    """

    def __init__(self, url: str, rates: Sequence[Rate], *, failure: Failure) -> None:
        """Set up; Redis is contacted at the first request.

        Args:
            url: `redis://[[user]:password@]host:port[/database]`, or `rediss://` with TLS.
            rates: Each of them limits every client.
            failure: What becomes of requests while Redis cannot be asked.
        """
        self._pool = ConnectionPool.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
        storage: Any = RedisStorage(  # the pool is an option that the annotation does not know
            f"async+{url}", implementation="redispy", key_prefix=_PREFIX, connection_pool=cast("Any", self._pool)
        )
        self._limiter = MovingWindowRateLimiter(storage)
        self._items = [(rate, RateLimitItemPerSecond(rate.requests, rate.seconds)) for rate in rates]
        self._failure = failure
        self._unusable_until = 0.0

    async def acquire(self, client: str) -> Decision:
        """Count a request of `client` if every rate allows it."""
        return await self._ask(client, 1, charge=False)

    async def charge(self, client: str, count: int) -> Decision:
        """Count `count` requests of `client` that are in work already, as far as the rates allow."""
        return await self._ask(client, count, charge=True)

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    async def _ask(self, client: str, count: int, *, charge: bool) -> Decision:
        if monotonic() >= self._unusable_until:
            try:
                async with asyncio.timeout(2 * _TIMEOUT_S):
                    decision = await self._count(client, count, charge=charge)
            except (RedisError, OSError, TimeoutError) as error:
                self._unusable_until = monotonic() + _PAUSE_S
                _log.warning("the rate limits' Redis cannot be asked: %s", str(error) or type(error).__name__)
            else:
                return decision
        metrics.record_rate_limit_failure()
        rate = self._items[0][0]
        allowed = charge or self._failure == "allow"
        return Decision(allowed, rate, rate.requests if allowed else 0, _PAUSE_S)

    async def _count(self, client: str, count: int, *, charge: bool) -> Decision:
        before = await self._decisions(client)
        refusing = [one for one in before if one.remaining < 1]
        if refusing and not charge:
            return _tightest(refusing, allowed=False)
        for (_, item), one in zip(self._items, before, strict=True):
            cost = min(count, one.remaining)
            # Another gateway may have taken the rest meanwhile.
            if cost and not await self._limiter.hit(item, client, cost=cost) and not charge:
                return _tightest(await self._decisions(client), allowed=False)
        return _tightest(await self._decisions(client), allowed=True)

    async def _decisions(self, client: str) -> list[Decision]:
        """What each rate says now."""
        decisions = []
        for rate, item in self._items:
            stats = await self._limiter.get_window_stats(item, client)
            wait = max(0.0, stats.reset_time - time())
            decisions.append(Decision(stats.remaining > 0, rate, max(0, stats.remaining), wait))
        return decisions


def _tightest(decisions: Sequence[Decision], *, allowed: bool) -> Decision:
    tightest = min(decisions, key=lambda one: (one.remaining, -one.wait))
    return Decision(allowed, tightest.rate, tightest.remaining, tightest.wait)
