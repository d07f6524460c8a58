"""The figures of sliced inference as tables, and the goals of docs/large-images.md."""

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.targets import Target, table

_MS_OF_BOXES = {"25000": 50.0, "100000": 250.0}


def markdown(results: dict[str, Any]) -> str:
    """The report.

    Args:
        results: by section.
    """
    rows = [
        [one.what, f"{one.value:.2f}{one.unit}", f"{'≥' if one.at_least else '≤'} {one.limit:g}{one.unit}", _met(one)]
        for one in goals(results)
    ]
    parts = [table(("goal", "measured", "required", ""), rows)]
    parts += [text for name, write in _SECTIONS.items() if name in results for text in write(results[name])]
    return "\n".join(parts)


def goals(results: dict[str, Any]) -> list[Target]:
    """The goals that the measured sections concern."""
    found: list[Target] = []
    if accuracy := results.get("accuracy"):
        for profile, sizes in accuracy["profiles"].items():
            best = max((size for size in sizes if size != "whole"), key=lambda size, by=sizes: by[size]["ap"])  # type: ignore[misc]
            gain = 100 * (sizes[best]["ap"] - sizes["whole"]["ap"])
            found.append(
                Target(f"{profile}: {accuracy['class']} AP, slices of {best} over whole", gain, 5, True, " points")
            )
    if scenes := results.get("scenes"):
        for profile, runs in scenes["profiles"].items():
            sliced = [how for how in runs if "slices of" in how]
            best = max(sliced, key=lambda how, by=runs: by[how]["ap50"])  # type: ignore[misc]
            loss = 100 * (runs["single scenes"]["ap50"] - runs[best]["ap50"])
            found.append(Target(f"{profile}: AP50 lost, {best}", loss, 2, False, " points"))
    for count, limit in _MS_OF_BOXES.items():
        for combine, one in results.get("merge", {}).get(count, {}).items():
            found.append(Target(f"merge of {int(count):,} boxes, {combine}", one["ms"], limit, False, " ms"))
    return [*found, *_speed_goals(results.get("speed")), *_load_goals(results)]


def _speed_goals(speed: dict[str, Any] | None) -> Iterator[Target]:
    if not speed:
        return
    profiles = speed["profiles"]
    for profile, one in profiles.items():
        limit = [one["slices"] / rate for rate in one["engine_throughput"]]
        what = f"{profile}: whole answer / (slices / engine alone)"
        yield Target(what, _ratio(one["answer_s"], limit), 1.15, False, " x")
        if one["sahi_s"]:
            yield Target(f"{profile}: speed / SAHI's", _ratio(one["sahi_s"], one["answer_s"]), 1.5, True, " x")
    fp32 = next((one for one in profiles.values() if one["precision"] == "FP32" and one["sahi_s"]), None)
    if fp32 is not None:
        fastest = min(profiles, key=lambda name: statistics.median(profiles[name]["answer_s"]))
        ratio = _ratio(fp32["sahi_s"], profiles[fastest]["answer_s"])
        yield Target(f"{fastest} (fastest): speed / SAHI's in FP32", ratio, 3, True, " x")


def _load_goals(results: dict[str, Any]) -> Iterator[Target]:
    if memory := results.get("memory"):
        for name in ("plain", "overlay"):
            grown = memory[name]["peak_mib"] - memory[name]["idle_mib"]
            what = f"memory over idle / decoded size, {memory['side']} x {memory['side']}, {name}"
            yield Target(what, grown / memory["decoded_mib"], 3.5, False, " x")
    if latency := results.get("latency"):
        beside, alone = ([one["p95"] for one in latency[name]] for name in ("beside", "alone"))
        yield Target("p95 of small images beside a huge one / alone", _ratio(beside, alone), 2, False, " x")


def _accuracy(section: dict[str, Any]) -> Iterator[str]:
    rows = [
        [profile, size, *(f"{100 * one[name]:.2f}" for name in ("ap", "ap50", "ap_small"))]
        for profile, sizes in section["profiles"].items()
        for size, one in sizes.items()
    ]
    name = section["class"]
    yield f"### Labelled images ({section['images']})\n"
    yield table(("profile", "slices", f"{name} AP", f"{name} AP50", "AP small, all classes"), rows)


def _scenes(section: dict[str, Any]) -> Iterator[str]:
    rows = [
        [profile, how, f"{100 * one['ap']:.2f}", f"{100 * one['ap50']:.2f}"]
        for profile, runs in section["profiles"].items()
        for how, one in runs.items()
    ]
    yield f"### Drawn scenes ({section['scenes']}, in {section['mosaics']} mosaics)\n"
    yield table(("profile", "images", "AP", "AP50"), rows)


def _speed(section: dict[str, Any]) -> Iterator[str]:
    rows = [
        [
            profile,
            one["precision"],
            str(one["slices"]),
            _median(one["answer_s"]),
            _median(one["engine_throughput"]),
            _median(one["sahi_s"]),
            f"{one['same_objects']:.1%}" if one["sahi_s"] else "-",
        ]
        for profile, one in section["profiles"].items()
    ]
    yield f"### Speed: {section['model']}, 3840 x 2160 in slices of 640; {section['sahi']}\n"
    yield table(
        ("profile", "precision", "slices", "answer, s", "engine alone, images/s", "SAHI, s", "objects in common"), rows
    )


def _latency(section: dict[str, Any]) -> Iterator[str]:
    rows = [
        [name, *(_median([one[figure] for one in section[name]]) for figure in ("throughput", "p50", "p95"))]
        for name in ("alone", "beside")
    ]
    yield f"### Small images, {section['clients']} clients, beside a huge one ({section['huge']} answered)\n"
    yield table(("small images", "images/s", "p50, ms", "p95, ms"), rows)


def _memory(section: dict[str, Any]) -> Iterator[str]:
    rows = [
        [name, *(f"{section[name][figure]:g}" for figure in ("idle_mib", "peak_mib", "slices", "seconds"))]
        for name in ("plain", "overlay")
    ]
    yield f"### Memory: {section['side']} x {section['side']}, {section['decoded_mib']:g} MiB decoded\n"
    yield table(("response", "idle, MiB", "peak, MiB", "slices", "seconds"), rows)


_SECTIONS = {
    "accuracy": _accuracy,
    "scenes": _scenes,
    "speed": _speed,
    "memory": _memory,
    "latency": _latency,
}


def _ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """The median of the ratios of each round."""
    ratios = [a / b for a, b in zip(over, under, strict=True) if b]
    return statistics.median(ratios) if ratios else math.nan


def _median(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f}" if values else "-"


def _met(goal: Target) -> str:
    return "met" if goal.met else "**not met**"
