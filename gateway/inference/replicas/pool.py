"""Several Tritons behind one gateway: which of them gets a request, and which are left out because they fail.

A request goes to the less busy of two replicas chosen at random, by expected seconds of work (the power of two choices:
Mitzenmacher, 2001): if each of several gateways chose the least busy of all, they would all choose the same one. A
replica that fails is ejected; canaries, with a growing pause between them, find out when it can be used again. If no
replica is left, all of them are asked.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Iterable
from time import monotonic

from gateway.images.resolver import Resolver, SystemResolver
from gateway.inference.replicas.lookup import look_up
from gateway.inference.replicas.replica import Replica
from gateway.observability import metrics
from sod.triton_addresses import TritonAddresses

_log = logging.getLogger(__name__)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 4.0
_RESOLVE_TIMEOUT_S = 10.0

Canary = Callable[[Replica], Awaitable[str | None]]
"""Runs an inference through a replica and returns what is wrong with it; None if nothing is."""


class ReplicaPool:
    """The Tritons of one gateway."""

    def __init__(
        self,
        addresses: TritonAddresses,
        *,
        canary: Canary,
        changed: Callable[[], None],
        resolve_interval: float,
        resolver: Resolver | None = None,
    ) -> None:
        """Set up. Requires a running event loop.

        Args:
            addresses: Where the Tritons are.
            canary: Finds out whether a replica works.
            changed: Called when the set of serving replicas has changed.
            resolve_interval: Seconds between two lookups of DNS names.
            resolver: Looks up names; None uses the system's resolver.
        """
        self._addresses = addresses
        self._canary = canary
        self._changed = changed
        self._resolve_interval = resolve_interval
        self._resolver = resolver or SystemResolver(len(addresses.names) or 1)
        self._replicas: dict[str, Replica] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._resolving: asyncio.Task[None] | None = None
        self._problems: list[str] = []
        for address in addresses.fixed:
            self._add(address, serving=True)

    async def start(self) -> None:
        """Look up the DNS names, if there are any, and go on doing so."""
        if self._addresses.names:
            await self._resolve(serving=True)
            self._resolving = asyncio.create_task(self._keep_resolving())

    async def close(self) -> None:
        """Stop lookups and canaries, and close the channels."""
        tasks = [*self._tasks.values(), *self._closing, *([self._resolving] if self._resolving else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(replica.close() for replica in self._replicas.values()))

    @property
    def single(self) -> bool:
        """Whether there is no other replica to ask, ever."""
        return self._addresses.single

    @property
    def usable(self) -> list[Replica]:
        """The replicas that serve; all of them if none does."""
        return [one for one in self._replicas.values() if one.serving] or list(self._replicas.values())

    def choose(self, model: str, among: Collection[Replica], without: Replica | None = None) -> Replica | None:
        """The replica for a request; None if there is none.

        Args:
            model: Name of the ensemble.
            among: The replicas that have the model.
            without: A replica that has failed on this request.
        """
        usable = [one for one in self.usable if one is not without]
        usable = [one for one in usable if one in among] or usable
        if not usable:
            return None
        if len(usable) == 1:
            return usable[0]
        known = [seconds for one in usable if (seconds := one.workload.seconds(model)) is not None]
        best, now = min(known, default=None), monotonic()
        return min(random.sample(usable, 2), key=lambda one: one.workload.expected(model, best, now))

    def eject(self, replica: Replica, problem: str, *, stalled: bool = False) -> None:
        """Send a replica no more requests until a canary has passed. A single Triton is never ejected.

        Args:
            replica: The replica.
            problem: What is wrong with it.
            stalled: Whether it answers nothing, so that the requests in it are given up.
        """
        if self.single or not replica.serving or self._replicas.get(replica.address) is not replica:
            return
        replica.serving = False
        _log.warning("Triton at %s gets no requests for now: %s", replica.address, problem)
        metrics.record_replica(replica.address, serving=False)
        metrics.record_ejection(replica.address)
        if stalled:
            replica.give_up()
        self._changed()
        self._try(replica)

    def _add(self, address: str, *, serving: bool) -> None:
        replica = self._replicas[address] = Replica(address, serving=serving, elsewhere=self._last_answer)
        metrics.record_replica(address, serving=serving)
        if not serving:
            self._try(replica)

    def _last_answer(self, without: Replica) -> float:
        others = (one.workload.finished_at for one in self._replicas.values() if one is not without)
        return max(others, default=float("-inf"))

    def _try(self, replica: Replica) -> None:
        self._tasks[replica.address] = asyncio.create_task(self._keep_trying(replica))

    async def _keep_trying(self, replica: Replica) -> None:
        pause, said = _FIRST_PAUSE_S, ""
        while (problem := await self._canary(replica)) is not None:
            if problem != said:
                _log.info("Triton at %s: %s", replica.address, problem)
                said = problem
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        replica.serving = True
        _log.info("Triton at %s gets requests", replica.address)
        metrics.record_replica(replica.address, serving=True)
        self._changed()

    async def _keep_resolving(self) -> None:
        while True:
            await asyncio.sleep(self._resolve_interval)
            await self._resolve(serving=False)

    async def _resolve(self, *, serving: bool) -> None:
        """Take in new addresses, and drop those that are gone. A name that cannot be looked up keeps its addresses."""
        found, problems = await look_up(self._addresses, self._resolver, _RESOLVE_TIMEOUT_S)
        if problems != self._problems:
            for problem in problems:
                _log.warning("the Tritons' addresses cannot be looked up: %s", problem)
            self._problems = problems
        for address in sorted(found - self._replicas.keys()):
            _log.info("Triton at %s is new", address)
            # The first ones are asked at once: there are no others.
            self._add(address, serving=serving or not self._replicas)
        if not problems:
            await self._drop(self._replicas.keys() - found)

    async def _drop(self, addresses: Iterable[str]) -> None:
        for address in sorted(addresses):
            _log.info("Triton at %s is gone", address)
            replica = self._replicas.pop(address)
            metrics.forget_replica(address)
            if (task := self._tasks.pop(address, None)) is not None:
                task.cancel()
            # What it has in work may still be answered.
            closing = asyncio.create_task(_close_when_idle(replica))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            self._changed()


async def _close_when_idle(replica: Replica) -> None:
    try:
        while len(replica.workload):  # noqa: ASYNC110 - until the last deadline at most
            await asyncio.sleep(1)
    finally:
        await replica.close()
