"""The figures of `sod batch` as tables, and their targets."""

from collections.abc import Iterator
from typing import Any

from benchmarks.targets import Target, table, verdicts

CPU_MS = 5.0
GROWTH_MIB = 32.0


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


def _throughput_targets(section: dict[str, Any]) -> Iterator[Target]:
    yield Target("images/s / raw requests/s", section["ratio"], 0.95, at_least=True, unit=" x")


def _throughput_tables(section: dict[str, Any]) -> Iterator[str]:
    rows = [[name, *(f"{value:.2f}" for value in section[name])] for name in ("batch", "raw")]
    rounds = [f"round {number + 1}" for number in range(len(section["batch"]))]
    yield table((f"images/s with {section['concurrency']} requests at once", *rounds), rows)


def _memory_targets(section: dict[str, Any]) -> Iterator[Target]:
    few, many = section["runs"]
    yield Target("client's processor time of an image", section["cpu_ms"], CPU_MS, unit=" ms")
    what = f"peak memory with {many['images']:,} images less that with {few['images']:,}"
    yield Target(what, round(many["peak_mib"] - few["peak_mib"], 1), GROWTH_MIB, unit=" MiB")


def _memory_tables(section: dict[str, Any]) -> Iterator[str]:
    rows = [
        [f"{one['images']:,}", f"{one['peak_mib']:.0f}", f"{one['processor_s']:.1f}", f"{one['seconds']:.1f}"]
        for one in section["runs"]
    ]
    yield table(("images", "peak memory, MiB", "processor time, s", "seconds"), rows)


def _kills_targets(section: dict[str, Any]) -> Iterator[Target]:
    unhit = sum(section["asked"].values()) - sum(section["kills"].values())
    yield Target("kills: victims that no longer worked", unhit, 0)
    yield Target("kills: rows too many or too few", abs(section["rows"] - section["images"]), 0)
    yield Target("kills: images without a row", section["images"] - section["paths"], 0)
    yield Target("kills: files that differ from an undisturbed run", len(section["differing"]), 0)


def _kills_tables(section: dict[str, Any]) -> Iterator[str]:
    rows = [[victim, str(count), str(section["asked"][victim])] for victim, count in section["kills"].items()]
    yield table(("killed", "while it worked", "times"), rows)
    yield from (f"{name} differs.\n" for name in section["differing"])


def _cluster_targets(section: dict[str, Any]) -> Iterator[Target]:
    ratio = section["nodes"]["2"]["rate"] / section["nodes"]["1"]["rate"]
    yield Target("two Ray nodes / one node", round(ratio, 3), 1.8, at_least=True, unit=" x")


def _cluster_tables(section: dict[str, Any]) -> Iterator[str]:
    head = (f"Ray nodes, stand-in of {1e3 * section['sleep_s']:g} ms", "images/s")
    yield table(head, [[count, f"{one['rate']:.1f}"] for count, one in section["nodes"].items()])


_TARGETS = {
    "throughput": _throughput_targets,
    "memory": _memory_targets,
    "kills": _kills_targets,
    "cluster": _cluster_targets,
}
_TABLES = {
    "throughput": _throughput_tables,
    "memory": _memory_tables,
    "kills": _kills_tables,
    "cluster": _cluster_tables,
}
