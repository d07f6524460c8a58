"""Counts of a dataset, in one pass and in constant memory."""

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

BINS = 20
SHOWN = 6
_Ranked = tuple[float, int, dict[str, Any]]


@dataclass
class Statistics:
    """What a report says.

    Attributes:
        images: rows without an error.
        failures: rows with one, by kind.
        classes: objects by label.
        images_by_class: images with at least one object of the label.
        scores: objects by label and by which of `BINS` equal parts of 0 to 1 their score lies in.
        crowded: rows with the most objects.
        empty: the first rows without objects; their number is `without_objects`.
        unsure: rows whose objects have the lowest mean score.
    """

    images: int = 0
    without_objects: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    images_by_class: Counter[str] = field(default_factory=Counter)
    scores: dict[str, list[int]] = field(default_factory=dict)
    crowded: list[dict[str, Any]] = field(default_factory=list)
    empty: list[dict[str, Any]] = field(default_factory=list)
    unsure: list[dict[str, Any]] = field(default_factory=list)
    model: str = ""
    thresholds: str = ""


def statistics(rows: Iterable[dict[str, Any]]) -> Statistics:
    """Count rows; of rows that are equal in a ranking the first ones are kept."""
    found = Statistics()
    crowded: list[_Ranked] = []
    unsure: list[_Ranked] = []
    for number, row in enumerate(rows):
        found.model, found.thresholds = row["model"], row["thresholds"]
        if row["status"] != "ok":
            found.failures[row["error_kind"]] += 1
            continue
        found.images += 1
        objects = row["objects"]
        if not objects:
            found.without_objects += 1
            if len(found.empty) < SHOWN:
                found.empty.append(row)
            continue
        found.images_by_class.update({one["label"] for one in objects})
        for one in objects:
            found.classes[one["label"]] += 1
            histogram = found.scores.setdefault(one["label"], [0] * BINS)
            histogram[min(BINS - 1, int(one["score"] * BINS))] += 1
        _keep(crowded, (len(objects), -number, row))
        _keep(unsure, (-sum(one["score"] for one in objects) / len(objects), -number, row))
    found.crowded = [row for _, _, row in sorted(crowded, key=_order, reverse=True)]
    found.unsure = [row for _, _, row in sorted(unsure, key=_order, reverse=True)]
    return found


def _order(ranked: _Ranked) -> tuple[float, int]:
    return ranked[:2]


def _keep(best: list[_Ranked], one: _Ranked) -> None:
    """Keep the best; no two have the same number, so that rows are never compared."""
    if len(best) < SHOWN:
        heapq.heappush(best, one)
    else:
        heapq.heappushpop(best, one)
