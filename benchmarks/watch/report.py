"""The figures of `sod watch` as tables, and their targets."""

from collections.abc import Iterator
from typing import Any

from benchmarks.targets import Target, table, verdicts

CLIENT_MS = 12.0
LAG = 1.5
SPEED = 10.0
GROWTH_MIB = 16.0
_CLIENT = ("decode", "convert", "track", "draw")


def targets(results: dict[str, Any]) -> list[Target]:
    """The targets that the measured sections concern.

    Args:
        results: by section.
    """
    return [target for name, section in results.items() for target in _TARGETS[name](section)]


def markdown(results: dict[str, Any]) -> str:
    """The report: the targets, then the figures of each section."""
    parts = [verdicts(targets(results))]
    parts += [part for name, section in results.items() for part in _TABLES[name](section)]
    return "\n".join(parts)


def _tracking_targets(section: dict[str, Any]) -> Iterator[Target]:
    for row in section["rows"]:
        if row["oracle"] is not None:
            for name in ("hota", "mota", "idf1"):
                what = f"{row['boxes']}, {row['rate']:g} frames/s: {name.upper()}"
                yield Target(what, row["ours"][name], row["oracle"][name], at_least=True)


def _tracking_tables(section: dict[str, Any]) -> Iterator[str]:
    rows = [
        [
            row["boxes"],
            f"{row['rate']:g}",
            who,
            *(f"{row[key][name]:.3f}" for name in ("hota", "mota", "idf1")),
            f"{row[key]['switches']:g}",
        ]
        for row in section["rows"]
        for key, who in (("ours", "sod watch"), ("oracle", section["oracle"]))
        if row[key] is not None
    ]
    yield table(("boxes", "frames/s", "tracker", "HOTA", "MOTA", "IDF1", "ids that changed"), rows)
    if all(row["oracle"] is None for row in section["rows"]):
        yield f"The oracle is left out: {section['oracle']}.\n"


def _counting_targets(section: dict[str, Any]) -> Iterator[Target]:
    yield Target("wrong crossings with drop-outs and jitter", sum(row["wrong"] for row in section["rows"]), 0)


def _counting_tables(section: dict[str, Any]) -> Iterator[str]:
    rows = [[str(row[name]) for name in ("seed", "rate", "exact", "counted", "wrong")] for row in section["rows"]]
    yield table(("seed", "frames/s", "crossings", "counted", "wrong"), rows)


def _lag_targets(section: dict[str, Any]) -> Iterator[Target]:
    yield Target("largest lag of a result / one answer", section["ratio"], LAG, unit=" x")


def _lag_tables(section: dict[str, Any]) -> Iterator[str]:
    lags = [section["answer_s"], section["lag_s"]["median"], section["lag_s"]["max"]]
    head = ("stream 5 times as fast as the server", "one answer, ms", "median lag, ms", "largest, ms", "dropped")
    yield table(
        head, [[f"{section['results']} results", *(f"{1e3 * one:.0f}" for one in lags), str(section["dropped"])]]
    )


def _memory_targets(section: dict[str, Any]) -> Iterator[Target]:
    yield Target("speed of the stream", section["speed"], SPEED, at_least=True, unit=" x")
    growth = section["mib"][-1] - section["mib"][1]
    yield Target("memory in the last eighth less that in the second", round(growth, 1), GROWTH_MIB, unit=" MiB")


def _memory_tables(section: dict[str, Any]) -> Iterator[str]:
    head = f"{section['stream_s']:g} s of a stream, {section['results']} results, {section['dropped']} dropped"
    yield table((head, *(f"{k}/8" for k in range(1, 9))), [["MiB", *(f"{one:.0f}" for one in section["mib"])]])


def _cpu_targets(section: dict[str, Any]) -> Iterator[Target]:
    yield Target(
        "decode, convert, track and draw a frame",
        sum(section["ms"].get(name, 0.0) for name in _CLIENT),
        CLIENT_MS,
        unit=" ms",
    )


def _cpu_tables(section: dict[str, Any]) -> Iterator[str]:
    width, height = section["size"]
    head = f"processor time a frame of {width} x {height} pixels with {section['objects']:g} objects"
    yield table((head, "ms"), [[name, f"{ms:.2f}"] for name, ms in section["ms"].items()])


def _throughput_targets(section: dict[str, Any]) -> Iterator[Target]:
    yield Target("frames/s of a file / raw requests/s", section["ratio"], 0.95, at_least=True, unit=" x")


def _throughput_tables(section: dict[str, Any]) -> Iterator[str]:
    rows = [[name, *(f"{value:.2f}" for value in section[name])] for name in ("watch", "raw")]
    rounds = [f"round {number + 1}" for number in range(len(section["watch"]))]
    yield table((f"frames/s with {section['concurrency']} requests at once", *rounds), rows)


def _detector_targets(section: dict[str, Any]) -> Iterator[Target]:
    exact = sum(section["exact"].get("car", {}).values())
    if exact:
        error = abs(sum(section["counted"].get("car", {}).values()) - exact) / exact
        yield Target("cars that cross the line: error of their number", round(error, 4), 0.1)


def _detector_tables(section: dict[str, Any]) -> Iterator[str]:
    rows = []
    for name in sorted({*section["exact"], *section["counted"]}):
        exact, counted = section["exact"].get(name, {}), section["counted"].get(name, {})
        rows.append([name, *(str(one.get(way, 0)) for way in ("in", "out") for one in (exact, counted))])
    yield table(("crossings with the detector", "in", "counted", "out", "counted"), rows)


def _still_targets(_: dict[str, Any]) -> Iterator[Target]:
    return iter(())


def _still_tables(section: dict[str, Any]) -> Iterator[str]:
    truth = max(1, section["truth"])
    rows = [
        ["all slices", f"{section['sliced'] / truth:.4f}", "100 %"],
        ["--skip_still", f"{section['skipped'] / truth:.4f}", f"{section['sent']:.0%}".replace("%", " %")],
    ]
    yield table(("", "recall", "slices sent"), rows)


_TARGETS = {
    "tracking": _tracking_targets,
    "counting": _counting_targets,
    "lag": _lag_targets,
    "memory": _memory_targets,
    "cpu": _cpu_targets,
    "throughput": _throughput_targets,
    "detector": _detector_targets,
    "still": _still_targets,
}
_TABLES = {
    "tracking": _tracking_tables,
    "counting": _counting_tables,
    "lag": _lag_tables,
    "memory": _memory_tables,
    "cpu": _cpu_tables,
    "throughput": _throughput_tables,
    "detector": _detector_tables,
    "still": _still_tables,
}
