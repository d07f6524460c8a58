"""The sections `kill`, `freeze`, `rolling` and `slow`: three Tritons behind two gateways, of which one is unlucky."""

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.fleet.load import Record, load, p99
from benchmarks.fleet.options import Options
from benchmarks.fleet.processes import Gateway, Triton, gateway, tritons, wait_for

_TRITONS = 3
_SLOWER = 10
_SETTLE_S = 3.0
_LOST_S = 5.0  # between the loss of a Triton and its start
_SHARE_S = 2.0  # over which a share is measured
# A share has returned when it is this part of an even one.
_ENOUGH = 0.5
_QUOTED = 3


@dataclass(frozen=True, slots=True)
class _Fleet:
    tritons: list[Triton]
    gateways: list[Gateway]

    @property
    def urls(self) -> list[str]:
        return [one.url for one in self.gateways]

    def answered(self, triton: Triton) -> int:
        return sum(one.answered(triton.address) for one in self.gateways)


def kill(options: Options) -> dict[str, Any]:
    """SIGKILL of one Triton under load, and its start some seconds later."""
    with _fleet(options) as fleet, load(fleet.urls, options.clients) as record:
        time.sleep(_SETTLE_S)
        before = _phase(record, options.seconds)
        unlucky, lost = fleet.tritons[0], time.perf_counter()
        unlucky.kill()
        time.sleep(_LOST_S)
        unlucky.start()
        started = time.perf_counter()
        ready_s = wait_for(unlucky.is_ready, f"Triton at {unlucky.address} to become ready again")
        share_s = ready_s + _wait_for_share(fleet, unlucky)
        after = _phase(record, options.seconds, since=lost)
    return {
        **_outcome(record),
        "before": before,
        "after": after,
        "ready_s": round(ready_s, 1),
        "share_s": round(share_s, 1),
        "lost_s": round(started - lost, 1),
    }


def freeze(options: Options) -> dict[str, Any]:
    """SIGSTOP of one Triton under load; afterwards it is replaced by a new one, as the launcher does.

    The Python stages of a Triton end when they are continued.
    """
    with _fleet(options) as fleet, load(fleet.urls, options.clients) as record:
        time.sleep(_SETTLE_S)
        before = _phase(record, options.seconds)
        unlucky, lost = fleet.tritons[0], time.perf_counter()
        unlucky.send(signal.SIGSTOP)
        after = _phase(record, options.seconds, since=lost)
        unlucky.kill()
        unlucky.start()
        ready_s = wait_for(unlucky.is_ready, f"Triton at {unlucky.address} to become ready again")
        share_s = ready_s + _wait_for_share(fleet, unlucky)
    return {**_outcome(record), "before": before, "after": after, "share_s": round(share_s, 1)}


def rolling(options: Options) -> dict[str, Any]:
    """All Tritons restarted one after the other under load, each when the one before has its share again."""
    shares = []
    with _fleet(options) as fleet, load(fleet.urls, options.clients) as record:
        time.sleep(_SETTLE_S)
        before = _phase(record, options.seconds)
        began = time.perf_counter()
        for triton in fleet.tritons:
            triton.terminate()
            triton.start()
            ready_s = wait_for(triton.is_ready, f"Triton at {triton.address} to become ready again")
            shares.append(round(ready_s + _wait_for_share(fleet, triton), 1))
        after = _phase(record, 0, since=began)
    return {**_outcome(record), "before": before, "after": after, "share_s": max(shares)}


def slow(options: Options) -> dict[str, Any]:
    """The throughput of two fast Tritons, without and with a third one that takes ten times as long."""
    two, three, failures = list[float](), list[float](), list[str]()
    sleeps = [options.sleep_s, options.sleep_s, _SLOWER * options.sleep_s]
    with ExitStack() as stack:
        addresses = [one.address for one in stack.enter_context(tritons(options.folder, sleeps))]
        fast, all_three = (
            [stack.enter_context(gateway(options.folder, ",".join(some))) for _ in range(2)]
            for some in (addresses[:2], addresses)
        )
        for _ in range(options.rounds):
            for gateways, rates in ((fast, two), (all_three, three)):
                with load([one.url for one in gateways], options.clients) as record:
                    time.sleep(_SETTLE_S)
                    rates.append(_phase(record, options.seconds)["throughput"])
                failures += record.failures
    return {"failed": len(failures), "failures": failures[:_QUOTED], "two": two, "three": three}


@contextmanager
def _fleet(options: Options) -> Iterator[_Fleet]:
    with ExitStack() as stack:
        some = stack.enter_context(tritons(options.folder, [options.sleep_s] * _TRITONS))
        addresses = ",".join(one.address for one in some)
        yield _Fleet(some, [stack.enter_context(gateway(options.folder, addresses)) for _ in range(2)])


def _phase(record: Record, seconds: float, since: float | None = None) -> dict[str, Any]:
    """Throughput and latencies from now, or from `since`, until `seconds` from now."""
    begin = time.perf_counter() if since is None else since
    time.sleep(seconds)
    end = time.perf_counter()
    latencies = record.latencies_ms(begin, end)
    return {
        "seconds": round(end - begin, 1),
        "requests": len(latencies),
        "throughput": round(record.rate(begin, end), 2),
        "p99_ms": round(p99(latencies)),
        "longest_ms": round(max(latencies, default=float("nan"))),
    }


def _wait_for_share(fleet: _Fleet, triton: Triton) -> float:
    """Seconds until a Triton answers at least half of an even share of all."""

    def counts() -> tuple[int, int]:
        each = [fleet.answered(one) for one in fleet.tritons]
        return each[fleet.tritons.index(triton)], sum(each)

    seen = [(time.perf_counter(), *counts())]

    def has_share() -> bool:
        now = time.perf_counter()
        seen.append((now, *counts()))
        earlier = next((one for one in reversed(seen) if one[0] <= now - _SHARE_S), seen[0])
        own, every = seen[-1][1] - earlier[1], seen[-1][2] - earlier[2]
        return own > 0 and own >= _ENOUGH * every / len(fleet.tritons)

    return wait_for(has_share, f"a share of the requests for Triton at {triton.address}")


def _outcome(record: Record) -> dict[str, Any]:
    return {
        "requests": len(record.served) + len(record.failures),
        "failed": len(record.failures),
        "failures": record.failures[:_QUOTED],
    }
