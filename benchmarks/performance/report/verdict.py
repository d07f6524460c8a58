"""Whether a quick run may judge: on a busy machine its one short round says nothing."""

from typing import Any

from benchmarks.performance.report.figures import median

# The shares of processor time that other programs, and other virtual machines, may use.
BUSY = 0.05
_BUSY_BEFORE = 0.15  # the terminal and the desktop use some for moments
_LOAD = 1.0  # load average a core


def others_median(document: dict[str, Any]) -> float:
    """The share of processor time that other programs used during the measurements, the median; NaN if unknown."""
    return median([share for results in document["models"].values() for share in others(results)])


def others(results: dict[str, Any]) -> list[float]:
    """That share in each measurement of one model."""
    return list((results.get("load") or {}).get("others", ()))


def reasons_for_no_verdict(document: dict[str, Any]) -> list[str]:
    """Why the run gives no verdict; empty if it does. Only quick runs are refused one.

    Args:
        document: the content of results.json.
    """
    if not document["options"]["quick"]:
        return []
    found = []
    before, during = document.get("other_programs", {}), others_median(document)
    if before.get("busy", 0) > _BUSY_BEFORE:
        found.append(f"other programs used {before['busy']:.0%} of the processors before the start")
    if before.get("load_average", 0) > _LOAD:
        found.append(f"the load average was {before['load_average']:g} a core before the start")
    if before.get("steal", 0) > BUSY:
        found.append(f"other virtual machines took {before['steal']:.0%} of the processors before the start")
    if during > BUSY:
        found.append(f"other programs took {during:.0%} of the processors during the measurements")
    return found
