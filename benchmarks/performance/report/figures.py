"""Figures from the results: medians over the rounds, and medians of ratios within a round."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.performance.roles import outside_detector

NAN = math.nan


def median(values: Sequence[float]) -> float:
    """The median of the values that are neither None nor NaN; NaN if there is none."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    return statistics.median(known) if known else NAN


def ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """The median of the ratios within each round, in which a slower machine affects both sides."""
    return median([a / b for a, b in zip(over, under, strict=False) if b])


def spread(values: Sequence[float]) -> float:
    """The largest value less the smallest, as a share of the median; NaN for fewer than two values."""
    return (max(values) - min(values)) / median(values) if len(values) > 1 and median(values) else NAN


def rounds(clients: dict[str, Any], client: str, concurrency: int) -> list[dict[str, Any]]:
    """The measurements of one client at one concurrency, a dict for each round; empty if it was not measured."""
    found: list[dict[str, Any]] = clients.get(client, {}).get(str(concurrency), [])
    return found


def column(turns: Sequence[dict[str, Any]], name: str) -> list[float]:
    """One figure of each measurement; None becomes NaN."""
    return [NAN if turn[name] is None else float(turn[name]) for turn in turns]


def middle(clients: dict[str, Any], client: str, concurrency: int, name: str) -> float:
    """The median of one figure over the rounds."""
    return median(column(rounds(clients, client, concurrency), name))


def cpu_outside_detector(clients: dict[str, Any], client: str, concurrency: int) -> float:
    """Processor time of a request outside the detector in milliseconds, the median over the rounds."""
    return median([outside_detector(turn["cpu_ms"]) for turn in rounds(clients, client, concurrency)])
