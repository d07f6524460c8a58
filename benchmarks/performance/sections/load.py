"""The main section: everybody in turns, round after round, at each concurrency."""

import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import psutil
from tqdm import tqdm

from benchmarks.performance.baselines.engine_only import EngineProcess
from benchmarks.performance.loadgen.closed_loop import Client, drive
from benchmarks.performance.loadgen.closed_loop import Turn as LoadTurn
from benchmarks.performance.loadgen.usage import cpu_ms, per_request, proportional_mib, resident_mib
from benchmarks.performance.options import LATENCY, LOADED, Options
from benchmarks.performance.participants import Participants, on
from benchmarks.servers import Host

_WARM_SECONDS = 0.5
_WARM_CLIENTS = 2
_LEAST_EACH = 3


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose turn it is: the host runs, and `take` measures and keeps."""

    host: Host
    take: Callable[[], None]


def measure(participants: Participants, options: Options) -> dict[str, Any]:
    """All rounds. A round has a lap for each concurrency, in which everybody has a turn, the engine alone too.

    Returns:
        `profiles`: by profile `precision`, `backend`, `engine_only` (`throughput` by concurrency, a value a round;
        `best_throughput` and `latency_ms`, a value a round; `memory_mib`), `clients` (by name and concurrency, a dict a
        round: see `measure_turn`); `paddlex`: `clients` likewise, or None; `others`: the share of the machine's
        processor time that went to other programs, a value a turn.
    """
    results: dict[str, Any] = {
        "profiles": {},
        "paddlex": {"clients": {}} if participants.paddlex_server else None,
        "others": [],
    }
    for profile, detector in participants.detectors.items():
        results["profiles"][profile] = {
            "precision": detector.precision,
            "backend": detector.backend,
            "engine_only": {
                "throughput": {},
                "best_throughput": [],
                "latency_ms": [],
                "memory_mib": round(participants.engines_only[profile].memory_mib, 1),
            },
            "clients": {},
        }
    laps = [(number, concurrency) for number in range(options.rounds) for concurrency in options.concurrency]
    with tqdm(total=len(laps), desc=participants.model, unit="lap", file=sys.stderr) as bar:
        for number, concurrency in laps:
            turns = list(_lap(participants, options, concurrency, results))
            # Who follows whom changes from lap to lap, and is the same in each run.
            for one in random.Random(1000 * number + concurrency).sample(turns, len(turns)):  # noqa: S311 - only an order
                bar.set_postfix_str(f"{concurrency} clients, {one.host.name}")
                with on(one.host):
                    one.take()
            bar.update()
    return results


def _lap(participants: Participants, options: Options, concurrency: int, results: dict[str, Any]) -> Iterator[Turn]:
    """The turns at one concurrency."""
    for profile, server in participants.servers.items():
        into = results["profiles"][profile]
        clients = (
            participants.ensemble(profile),
            participants.gateway(profile, False),
            participants.gateway(profile, True),
        )
        for client in clients:
            yield Turn(
                server, partial(_ask, server, client, concurrency, options.seconds, into["clients"], results["others"])
            )
        alone = participants.engines_only[profile]
        is_choice = into["backend"] == "openvino"
        yield Turn(
            alone.host, partial(_run_engine_only, alone, concurrency, options.seconds, into["engine_only"], is_choice)
        )
    if participants.paddlex_server is not None and concurrency in (LATENCY, LOADED):
        for client in (participants.paddlex(False), participants.paddlex(True)):
            host, where = participants.paddlex_server, (results["paddlex"]["clients"], results["others"])
            yield Turn(host, partial(_ask, host, client, concurrency, options.seconds, *where))


def _ask(  # noqa: PLR0913, PLR0917 - of one turn, where its results go
    host: Host, client: Client, concurrency: int, seconds: float, into: dict[str, Any], others: list[float]
) -> None:
    result = measure_turn(host, client, concurrency, seconds)
    others.append(result["others"])
    into.setdefault(client.name, {}).setdefault(str(concurrency), []).append(result)


def _run_engine_only(
    alone: EngineProcess, concurrency: int, seconds: float, into: dict[str, Any], is_choice: bool
) -> None:
    alone.throughput(min(_WARM_SECONDS, seconds))
    into["throughput"].setdefault(str(concurrency), []).append(round(alone.throughput(seconds), 4))
    if concurrency == LATENCY:
        into["latency_ms"].append(round(float(np.median(alone.latency_ms(seconds))), 3))
    if concurrency == LOADED and is_choice:
        into["best_throughput"].append(round(alone.throughput(seconds, "throughput"), 4))


def measure_turn(host: Host, client: Client, concurrency: int, seconds: float) -> dict[str, Any]:
    """One turn of load on a host that runs: a short warm-up, then the measurement.

    Returns:
        What `load_dict` says, and `cpu_ms` a request and `rss_mib` by role, `pss_mib` of all together,
        `client_cpu_ms` a request, and `others`: the share of the machine's processor time that went to other programs.
    """
    drive(client, min(concurrency, _WARM_CLIENTS), min(_WARM_SECONDS, seconds))
    before, own, machine = cpu_ms(host), time.process_time(), psutil.cpu_times()
    seen = drive(client, concurrency, seconds, least=_LEAST_EACH * concurrency)
    after, own, whole = cpu_ms(host), 1e3 * (time.process_time() - own), _elapsed(machine)
    answered = len(seen.latencies_ms)
    ours = sum(after.values()) - sum(before.values()) + own
    return {
        **load_dict(seen),
        "cpu_ms": {name: round(ms, 3) for name, ms in per_request(before, after, answered).items()},
        "client_cpu_ms": round(own / max(answered, 1), 3),
        "others": round(max(0.0, (whole.busy_ms - ours) / whole.all_ms), 4),
        "pss_mib": round(proportional_mib(host), 1),
        "rss_mib": {name: round(mib, 1) for name, mib in resident_mib(host).items()},
    }


class _Elapsed(NamedTuple):
    busy_ms: float
    all_ms: float


def _elapsed(before: Any) -> _Elapsed:
    spent = [1e3 * (b - a) for a, b in zip(before, psutil.cpu_times(), strict=True)]
    names = before._fields
    # Guests are in user already.
    everything = sum(ms for name, ms in zip(names, spent, strict=True) if not name.startswith("guest"))
    idle = sum(ms for name, ms in zip(names, spent, strict=True) if name in ("idle", "iowait"))
    return _Elapsed(everything - idle, max(everything, 1.0))


def load_dict(seen: LoadTurn) -> dict[str, Any]:
    """For JSON: throughput in answers a second, latencies in milliseconds."""
    latencies = seen.latencies_ms if len(seen.latencies_ms) else np.array([np.nan])
    p50, p95, p99 = (round(float(value), 3) for value in np.percentile(latencies, (50, 95, 99)))
    return {
        "throughput": round(seen.throughput, 4),
        "p50": p50,
        "p95": p95,
        "p99": p99,
        "mean": round(float(latencies.mean()), 3),
        "requests": len(seen.latencies_ms),
        "errors": seen.errors,
        "first_error": seen.first_error,
    }
