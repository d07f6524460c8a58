"""The section `load`: every participant is measured in each round, at each concurrency, in a changing order."""

import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import psutil
from tqdm import tqdm

from benchmarks.performance.baselines.engine_only import EngineProcess
from benchmarks.performance.loadgen.closed_loop import Client, LoadResult, run_closed_loop
from benchmarks.performance.loadgen.usage import cpu_ms, per_request, proportional_mib, resident_mib
from benchmarks.performance.options import LATENCY_CLIENTS, LOAD_CLIENTS, Options
from benchmarks.performance.other_programs import spent_since
from benchmarks.performance.participants import Participants, resumed
from benchmarks.servers import ProcessTree

_WARM_UP_S = 0.5
_WARM_UP_CLIENTS = 2
_MIN_REQUESTS_PER_CLIENT = 3


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measurement: the processes that must run during it, and the function that measures and stores the result."""

    processes: ProcessTree
    run: Callable[[], None]


def measure(participants: Participants, options: Options) -> dict[str, Any]:
    """Measure all rounds. In a round every participant, the engine alone too, is measured once at each concurrency.

    Returns:
        `profiles`: by profile `precision`, `backend`, `engine_only` (`throughput` by concurrency, a value a round;
        `best_throughput` and `latency_ms`, a value a round; `memory_mib`), `clients` (by name and concurrency, a dict a
        round: see `measure_load`). `paddlex`: `clients` likewise, or None. `others`: the share of the machine's
        processor time that other programs used, a value a measurement.
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
                "memory_mib": round(participants.engines[profile].memory_mib, 1),
            },
            "clients": {},
        }
    laps = [(number, concurrency) for number in range(options.rounds) for concurrency in options.concurrency]
    with tqdm(total=len(laps), desc=participants.model, unit="lap", file=sys.stderr) as bar:
        for number, concurrency in laps:
            measurements = list(_measurements(participants, options, concurrency, results))
            # The order changes from lap to lap, and is the same in each run.
            order = random.Random(1000 * number + concurrency)  # noqa: S311 - only an order
            for measurement in order.sample(measurements, len(measurements)):
                bar.set_postfix_str(f"{concurrency} clients, {measurement.processes.name}")
                with resumed(measurement.processes):
                    measurement.run()
            bar.update()
    return results


def _measurements(
    participants: Participants, options: Options, concurrency: int, results: dict[str, Any]
) -> Iterator[Measurement]:
    """The measurements of every participant at one concurrency."""
    others = results["others"]
    for profile, server in participants.servers.items():
        of_profile = results["profiles"][profile]
        for client in (
            participants.ensemble(profile),
            participants.gateway(profile, False),
            participants.gateway(profile, True),
        ):
            into = of_profile["clients"]
            yield Measurement(
                server, partial(_measure_client, server, client, concurrency, options.seconds, into, others)
            )
        engine, into = participants.engines[profile], of_profile["engine_only"]
        has_throughput_hint = of_profile["backend"] == "openvino"
        yield Measurement(
            engine.processes, partial(_measure_engine, engine, concurrency, options.seconds, into, has_throughput_hint)
        )
    paddlex = participants.paddlex_server
    if paddlex is not None and concurrency in (LATENCY_CLIENTS, LOAD_CLIENTS):
        for client in (participants.paddlex(False), participants.paddlex(True)):
            into = results["paddlex"]["clients"]
            yield Measurement(
                paddlex, partial(_measure_client, paddlex, client, concurrency, options.seconds, into, others)
            )


def _measure_client(  # noqa: PLR0913, PLR0917 - one measurement, and where its results go
    processes: ProcessTree, client: Client, concurrency: int, seconds: float, into: dict[str, Any], others: list[float]
) -> None:
    result = measure_load(processes, client, concurrency, seconds)
    others.append(result["others"])
    into.setdefault(client.name, {}).setdefault(str(concurrency), []).append(result)


def _measure_engine(
    engine: EngineProcess, concurrency: int, seconds: float, into: dict[str, Any], has_throughput_hint: bool
) -> None:
    engine.throughput(min(_WARM_UP_S, seconds))
    into["throughput"].setdefault(str(concurrency), []).append(round(engine.throughput(seconds), 4))
    if concurrency == LATENCY_CLIENTS:
        into["latency_ms"].append(round(float(np.median(engine.latency_ms(seconds))), 3))
    if concurrency == LOAD_CLIENTS and has_throughput_hint:
        into["best_throughput"].append(round(engine.throughput(seconds, "throughput"), 4))


def measure_load(processes: ProcessTree, client: Client, concurrency: int, seconds: float) -> dict[str, Any]:
    """Measure one client against running processes: a short warm-up, then the load.

    Returns:
        What `summarize` returns, and: `cpu_ms` of a request and `rss_mib`, by role; `pss_mib` of all processes
        together; `client_cpu_ms` of a request; `others`, the share of the machine's processor time that other programs
        used.
    """
    run_closed_loop(client, min(concurrency, _WARM_UP_CLIENTS), min(_WARM_UP_S, seconds))
    before, own, machine = cpu_ms(processes), time.process_time(), psutil.cpu_times()
    result = run_closed_loop(client, concurrency, seconds, min_responses=_MIN_REQUESTS_PER_CLIENT * concurrency)
    after, own, whole = cpu_ms(processes), 1e3 * (time.process_time() - own), spent_since(machine)
    responses = len(result.latencies_ms)
    measured = sum(after.values()) - sum(before.values()) + own
    return {
        **summarize(result),
        "cpu_ms": {name: round(ms, 3) for name, ms in per_request(before, after, responses).items()},
        "client_cpu_ms": round(own / max(responses, 1), 3),
        "others": round(max(0.0, (whole.busy_ms - measured) / whole.all_ms), 4),
        "pss_mib": round(proportional_mib(processes), 1),
        "rss_mib": {name: round(mib, 1) for name, mib in resident_mib(processes).items()},
    }


def summarize(result: LoadResult) -> dict[str, Any]:
    """The result for JSON: `throughput` in responses a second, latencies in milliseconds, numbers of requests."""
    latencies = result.latencies_ms if len(result.latencies_ms) else np.array([np.nan])
    p50, p95, p99 = (round(float(value), 3) for value in np.percentile(latencies, (50, 95, 99)))
    return {
        "throughput": round(result.throughput, 4),
        "p50": p50,
        "p95": p95,
        "p99": p99,
        "mean": round(float(latencies.mean()), 3),
        "requests": len(result.latencies_ms),
        "errors": result.errors,
        "first_error": result.first_error,
    }
