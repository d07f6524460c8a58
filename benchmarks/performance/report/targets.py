"""The performance targets and whether a run meets them. Each compares figures of one run."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.performance.options import LATENCY_CLIENTS, LOAD_CLIENTS, PEAK_CLIENTS
from benchmarks.performance.report.figures import (
    NAN,
    column,
    cpu_outside_detector,
    median,
    ratio,
    rounds,
)

ENSEMBLE, OVERLAY, PADDLEX_OVERLAY = "ensemble", "gateway, overlay", "PaddleX, overlay"
PLAIN, PADDLEX_PLAIN = "gateway", "PaddleX"
_GROWTH_MIB = 16.0
_GROWTH_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Target:
    """One target.

    Attributes:
        number: in the list of docs/performance.md.
        what: description of the figure.
        value: the measured figure; NaN if it was not measured.
        limit: the value that meets the target.
        at_least: whether the figure must reach the limit, or else must not exceed it.
        unit: of the value and the limit.
    """

    number: str
    what: str
    value: float
    limit: float
    at_least: bool = True
    unit: str = " x"

    @property
    def passed(self) -> bool | None:
        """Whether the target is met; None if the figure was not measured."""
        if math.isnan(self.value):
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def targets(results: dict[str, Any]) -> list[Target]:
    """The targets that concern the results of one model.

    Args:
        results: by section, and `model`, its name.
    """
    found: list[Target] = []
    load = results.get("load") or {"profiles": {}, "paddlex": None}
    for profile, of_profile in load["profiles"].items():
        found += _of_profile(profile, of_profile, results.get("model", ""))
    found += _against_paddlex(load, results.get("accuracy"))
    found += _int8(load)
    found += _stages(results.get("stages"))
    if soak := results.get("soak"):
        limit = max(_GROWTH_MIB, _GROWTH_SHARE * soak["early_mib"])
        what = f"growth of resident memory, later half of {soak['minutes']:g} min of load over the earlier"
        found.append(Target("4", what, soak["later_mib"] - soak["early_mib"], limit, False, " MiB"))
    return sorted(found, key=lambda target: target.number)


def _of_profile(profile: str, of_profile: dict[str, Any], model: str) -> Iterator[Target]:
    clients, engine_only = of_profile["clients"], of_profile["engine_only"]
    ensemble, overlay = (rounds(clients, client, LOAD_CLIENTS) for client in (ENSEMBLE, OVERLAY))
    limit = engine_only["throughput"].get(str(LOAD_CLIENTS), [])
    if model.endswith("largesize-L"):
        what = f"{profile}: ensemble / engine alone, images/s at {LOAD_CLIENTS}"
        yield Target("5", what, ratio(column(ensemble, "throughput"), limit), 0.90)
        held = median(column(ensemble, "pss_mib"))
        what = f"{profile}: memory of the whole stack / engine's"
        yield Target(
            "5", what, held / engine_only["memory_mib"] if engine_only["memory_mib"] else NAN, 1.5, at_least=False
        )
        return
    if of_profile["backend"] == "openvino":
        what = f"{profile}: ensemble / engine alone, images/s at {LOAD_CLIENTS}"
        yield Target("1", what, ratio(column(ensemble, "throughput"), limit), 0.85)
        what = f"{profile}: gateway with overlay / engine alone, images/s at {LOAD_CLIENTS}"
        yield Target("1", what, ratio(column(overlay, "throughput"), limit), 0.78)
        what = f"{profile}: processor time a request outside the detector, ensemble"
        yield Target("1", what, cpu_outside_detector(clients, ENSEMBLE, LOAD_CLIENTS), 12, False, " ms")
        what = f"{profile}: the same, gateway with overlay"
        yield Target("1", what, cpu_outside_detector(clients, OVERLAY, LOAD_CLIENTS), 25, False, " ms")
        what = f"{profile}: latency at {LATENCY_CLIENTS}, ensemble less engine alone on all cores"
        alone = column(rounds(clients, ENSEMBLE, LATENCY_CLIENTS), "p50")
        extra = median([a - b for a, b in zip(alone, engine_only["latency_ms"], strict=False)])
        yield Target("3", what, extra, 12, False, " ms")
    peak = rounds(clients, OVERLAY, PEAK_CLIENTS)
    relative = [turn["p99"] / 1e3 / (PEAK_CLIENTS / turn["throughput"]) for turn in peak if turn["throughput"]]
    yield Target(
        "4", f"{profile}: p99 at {PEAK_CLIENTS} / ({PEAK_CLIENTS} / throughput), overlay", median(relative), 2.5, False
    )
    errors = [turn["errors"] for by in clients.values() for turns in by.values() for turn in turns]
    yield Target("4", f"{profile}: requests not answered", float(sum(errors)) if errors else NAN, 0, False, "")


def _against_paddlex(load: dict[str, Any], accuracy: dict[str, Any] | None) -> Iterator[Target]:
    if not load["paddlex"]:
        return
    paddlex_clients = load["paddlex"]["clients"]
    ratios = {}
    for profile, of_profile in load["profiles"].items():
        for mine, theirs in ((OVERLAY, PADDLEX_OVERLAY), (PLAIN, PADDLEX_PLAIN)):
            own, other = (
                rounds(of_profile["clients"], mine, LOAD_CLIENTS),
                rounds(paddlex_clients, theirs, LOAD_CLIENTS),
            )
            ratios[profile, mine] = ratio(column(own, "throughput"), column(other, "throughput"))
    if ("cpu_bf16", OVERLAY) in ratios:
        what = f"cpu_bf16: gateway with overlay / PaddleX with overlay, at {LOAD_CLIENTS}"
        yield Target("1", what, ratios["cpu_bf16", OVERLAY], 2.8)
    passing = [
        profile
        for profile, of_profile in load["profiles"].items()
        if accuracy is not None and accuracy["profiles"].get(profile, {}).get("passed", False)
        if of_profile["backend"] == "openvino"
    ]
    if passing:
        best = max(passing, key=lambda profile: ratios[profile, OVERLAY])
        what = f"{best} (fastest that passes the accuracy check): the same"
        yield Target("1", what, ratios[best, OVERLAY], 4.0)
    if ("cpu_regular", OVERLAY) in ratios:
        for client, words in ((OVERLAY, "with overlay"), (PLAIN, "without overlay")):
            yield Target("2", f"cpu_regular / PaddleX, {words}, at {LOAD_CLIENTS}", ratios["cpu_regular", client], 1.15)


def _int8(load: dict[str, Any]) -> Iterator[Target]:
    profiles = load["profiles"]
    if {"cpu_int8", "cpu_bf16"} <= profiles.keys():
        for words, of in (("engine alone", None), (f"ensemble at {LOAD_CLIENTS}", ENSEMBLE)):
            int8, bf16 = (_throughputs(profiles[name], of) for name in ("cpu_int8", "cpu_bf16"))
            yield Target("6", f"INT8 / BF16, {words}", ratio(int8, bf16), 1.3)


def _throughputs(of_profile: dict[str, Any], client: str | None) -> list[float]:
    if client is None:
        found: list[float] = of_profile["engine_only"]["throughput"].get(str(LOAD_CLIENTS), [])
        return found
    return column(rounds(of_profile["clients"], client, LOAD_CLIENTS), "throughput")


def _stages(stages: dict[str, Any] | None) -> Iterator[Target]:
    for side, of_side in (stages or {}).get("synthetic", {}).items():
        limit = 10 if int(side) <= 640 else 60
        what = f"pre- and postprocess at {side}, {of_side['candidates']:,} candidates"
        yield Target("3", what, of_side["preprocess_ms"] + of_side["postprocess_ms"], limit, False, " ms")
