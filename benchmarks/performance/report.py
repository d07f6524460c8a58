"""The results for people: Markdown."""

import math
from typing import Any

from benchmarks.performance.figures import column, cpu_outside_detector, median, ratio, rounds
from benchmarks.performance.targets import Target, targets


def markdown(document: dict[str, Any]) -> str:
    """The whole report."""
    parts = []
    for model, results in document["models"].items():
        parts.append(f"## {model}\n")
        parts.append(_targets({**results, "model": model}))
        if load := results.get("load"):
            parts.append(_load(load))
    return "\n".join(parts)


def _targets(results: dict[str, Any]) -> str:
    lines = ["### Targets\n", "| | measured | target | |", "| --- | ---: | ---: | --- |"]
    lines += [
        f"| {one.number}. {one.what} | {_value(one.value, one.unit)} | "
        f"{'≥' if one.at_least else '≤'} {_value(one.limit, one.unit)} | {_verdict(one)} |"
        for one in targets(results)
    ]
    return "\n".join(lines) + "\n"


def _verdict(target: Target) -> str:
    return {True: "met", False: "**not met**", None: "not measured"}[target.passed]


def _value(value: float, unit: str) -> str:
    if math.isnan(value):
        return "-"
    digits = 0 if unit == "" else 1 if unit.strip() in ("ms", "MiB") else 2
    return f"{value:,.{digits}f}{unit}"


def _load(load: dict[str, Any]) -> str:
    lines = ["### Load\n"]
    for profile, of_profile in load["profiles"].items():
        bare = of_profile["bare"]
        limit = median([value for lap in bare["throughput"].values() for value in lap])
        lines += [
            f"#### {profile}: {of_profile['backend']}, {of_profile['precision']}\n",
            f"Bare detector as configured: {_n(limit, 2)} pictures/s; "
            f"its best throughput setting: {_n(median(bare['best_throughput']), 2)}; "
            f"one picture on all cores: {_n(median(bare['latency_ms']))} ms.\n",
            "| way | clients | pictures/s | of bare | p50 ms | p95 ms | p99 ms | errors | CPU ms outside detector "
            "| RSS MiB |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
            *_way_lines(of_profile["ways"], bare["throughput"]),
            "",
        ]
    if load["peer"]:
        lines += [
            "#### PaddleX 3.7.2, basic serving\n",
            "| way | clients | pictures/s | p50 ms | p95 ms | p99 ms | errors | CPU ms | RSS MiB |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
            *_way_lines(load["peer"]["ways"], None),
            "",
        ]
    return "\n".join(lines)


def _way_lines(ways: dict[str, Any], bare: dict[str, list[float]] | None) -> list[str]:
    lines = []
    for way, by_concurrency in ways.items():
        for concurrency in by_concurrency:
            turns = rounds(ways, way, int(concurrency))
            share = [] if bare is None else [f"{ratio(column(turns, 'throughput'), bare.get(concurrency, [])):.0%}"]
            cells = [
                way,
                concurrency,
                _n(median(column(turns, "throughput")), 2),
                *share,
                *(_n(median(column(turns, name))) for name in ("p50", "p95", "p99")),
                str(sum(turn["errors"] for turn in turns)),
                _n(cpu_outside_detector(ways, way, int(concurrency))),
                _n(median([sum(turn["rss_mib"].values()) for turn in turns]), 0),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _n(value: float, digits: int = 1) -> str:
    return "-" if math.isnan(value) else f"{value:,.{digits}f}"
