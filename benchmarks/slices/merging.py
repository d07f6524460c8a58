"""The section `merge`: how long merging takes, and SAHI's merging of the same boxes."""

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.slices.options import MATCH_THRESHOLD, Options
from sod.detections import Detections
from sod.merging import MergeOptions, merge

COUNTS = (25_000, 100_000)
_CLASSES = 10
_LEAST_ROUNDS = 3


def crowd(count: int) -> tuple[Detections, NDArray[np.bool_]]:
    """What slices of a crowded scene give: objects of 8 to 48 pixels, each found in one to four slices.

    Returns:
        The detections, in random order, and the sides that a slice's border cuts: bool [count, 4].
    """
    random = np.random.default_rng(count)
    objects = count // 2
    side = 48.0 * np.sqrt(objects)  # 16 times the objects' own area
    corners, sizes = random.uniform(0, side, (objects, 2)), random.uniform(8, 48, (objects, 2))
    shown = random.integers(0, objects, count)
    shift = random.normal(0, 1, (count, 4))
    boxes = np.concatenate([corners[shown], corners[shown] + sizes[shown]], axis=1) + shift
    class_ids = (random.integers(0, _CLASSES, objects))[shown]
    cut = random.random((count, 4)) < 0.02
    scores = random.uniform(0.05, 1, count)
    return Detections(boxes.astype(np.float32), scores.astype(np.float32), class_ids.astype(np.int32)), cut


def measure(options: Options) -> dict[str, Any]:
    """Time the merge of 25,000 and of 100,000 boxes.

    Returns:
        By the number of boxes and by `nms` and `nmm`, `ms`: the median of `rounds`, `best_ms`, and `kept`.
    """
    found: dict[str, Any] = {}
    for count in COUNTS:
        detections, cut = crowd(count)
        for combine in ("nms", "nmm"):
            merging = MergeOptions(combine, "ios", MATCH_THRESHOLD)
            call = partial(merge, detections, merging, cut)
            call()
            ms = [timed(call) for _ in range(max(_LEAST_ROUNDS, options.rounds))]
            found.setdefault(str(count), {})[combine] = {
                "ms": round(statistics.median(ms), 1),
                "best_ms": round(min(ms), 1),
                "kept": len(call()),
            }
    return found


def timed(call: Callable[[], object]) -> float:
    """Milliseconds that a call takes."""
    began = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - began)
