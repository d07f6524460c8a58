"""The figures of a fleet as tables, and the targets of docs/deployment.md."""

import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.targets import Target, table, verdicts

# From this share of a core on, the gateway's own processor time and not the Tritons' may be the limit.
_GATEWAY_IS_LIMIT = 0.85


def targets(results: dict[str, Any]) -> list[Target]:
    """The targets that the measured sections concern.

    Args:
        results: by section.
    """
    return [target for name, section in results.items() for target in _TARGETS[name](section)]


def markdown(results: dict[str, Any]) -> str:
    """The report: the targets, then the figures of each section."""
    return "\n".join([verdicts(targets(results)), *_losses(results), *_scaling(results)])


def _kill_targets(section: dict[str, Any]) -> Iterator[Target]:
    yield _failed("kill -9 of one Triton", section)
    yield Target("kill -9: share back after its start", section["share_s"], 10, unit=" s")


def _freeze_targets(section: dict[str, Any]) -> Iterator[Target]:
    yield _failed("SIGSTOP of one Triton", section)
    yield Target("SIGSTOP: p99 / p99 before", section["after"]["p99_ms"] / section["before"]["p99_ms"], 3, unit=" x")


def _rolling_targets(section: dict[str, Any]) -> Iterator[Target]:
    yield _failed("rolling restart of all three", section)


def _slow_targets(section: dict[str, Any]) -> Iterator[Target]:
    ratio = statistics.median(b / a for a, b in zip(section["two"], section["three"], strict=True))
    yield Target("one ten times slower: throughput / that of the two fast ones", ratio, 0.9, at_least=True, unit=" x")
    yield _failed("one ten times slower", section)


def _dns_targets(section: dict[str, Any]) -> Iterator[Target]:
    yield Target("DNS change: new address used after", section["taken_s"], 10, unit=" s")
    yield _failed("DNS change", section)


def _scaling_targets(section: dict[str, Any]) -> Iterator[Target]:
    first, *more = section["steps"]
    for step in more:
        if step["gateway_busy"] < _GATEWAY_IS_LIMIT:
            linear = first["throughput"] * step["tritons"] / first["tritons"]
            what = f"{step['tritons']} Tritons: throughput / linear"
            yield Target(what, step["throughput"] / linear, 0.95, at_least=True, unit=" x")
    yield _failed("scaling", section)


_TARGETS = {
    "kill": _kill_targets,
    "freeze": _freeze_targets,
    "rolling": _rolling_targets,
    "slow": _slow_targets,
    "dns": _dns_targets,
    "scaling": _scaling_targets,
}


def _failed(what: str, section: dict[str, Any]) -> Target:
    return Target(f"{what}: failed requests", section["failed"], 0)


def _losses(results: dict[str, Any]) -> Iterator[str]:
    phases = [
        (name, phase, results[name][phase])
        for name in results
        for phase in ("before", "after")
        if phase in results[name]
    ]
    if phases:
        figures = ("requests", "throughput", "p99_ms", "longest_ms")
        rows = [[f"{name}, {phase}", *(f"{one[figure]:g}" for figure in figures)] for name, phase, one in phases]
        yield table(("three Tritons, two gateways", "requests", "requests/s", "p99, ms", "longest, ms"), rows)
    for name, section in results.items():
        yield from (f"{name}: {failure}\n" for failure in section.get("failures", ()))


def _scaling(results: dict[str, Any]) -> Iterator[str]:
    section = results.get("scaling")
    if not section:
        return
    rows = [
        [str(one["tritons"]), f"{one['throughput']:.1f}", f"{one['gateway_ms']:.2f}", f"{one['gateway_busy']:.0%}"]
        for one in section["steps"]
    ]
    yield table(("Tritons", "requests/s", "gateway's processor time, ms a request", "of a core"), rows)
    for name, cost in core_costs(section).items():
        rate = 1e3 / cost
        yield f"One gateway core ends at {rate:.0f} requests/s of one image, {name} (computed from {cost:.2f} ms).\n"


def core_costs(section: dict[str, Any]) -> dict[str, float]:
    """Processor milliseconds of a gateway for a request with one image, from the section `scaling`."""
    return {
        "without overlay": section["steps"][-1]["gateway_ms"],
        "with overlay": section["overlay"]["gateway_ms"],
    }
