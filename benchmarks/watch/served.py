"""The sections `throughput`, `detector` and `still`: the drawn film, and a server with a detector."""

import base64
import json
import statistics
import time
from typing import Any

import numpy as np
from sod_client import Pipeline, create_pipeline
from sod_client._streams.result import FrameResult
from sod_client._streams.tracking.byte_track import overlap

from benchmarks.sdk_throughput import raw_seconds
from benchmarks.watch.film import RATE, film
from benchmarks.watch.options import Options

_BODIES = 60
_STILL_S = 4.0
_SLICE = 640


def measure_throughput(options: Options, url: str) -> dict[str, Any]:
    """Frames a second of `watch`, and of requests that were encoded before, in turns.

    Returns:
        `watch` and `raw`: a value each round.
    """
    made = film(options.folder, options.seconds, options.film_seed)
    seconds = min(options.seconds, _BODIES / RATE)
    rates: dict[str, list[float]] = {"watch": [], "raw": []}
    with create_pipeline(url=url, model=options.model, max_in_flight=options.concurrency) as pipeline:
        bodies = []
        for result in pipeline.watch(made.path, duration=seconds):  # warms the server up, too
            image = base64.b64encode(result.frame.item.encoded()).decode("ascii")
            bodies.append(json.dumps({"image": image, "model": options.model, "visualize": False}).encode())
        for number in range(options.rounds):
            for name in ("watch", "raw") if number % 2 else ("raw", "watch"):
                began = time.perf_counter()
                if name == "watch":
                    count = sum(1 for _ in pipeline.watch(made.path, duration=seconds, track=True))
                    rates[name].append(round(count / (time.perf_counter() - began), 2))
                else:
                    rates[name].append(round(len(bodies) / raw_seconds(url, bodies, options.concurrency), 2))
    ratios = [ours / raw for ours, raw in zip(rates["watch"], rates["raw"], strict=True)]
    return {**rates, "ratio": round(statistics.median(ratios), 4), "concurrency": options.concurrency}


def measure_detector(options: Options, url: str) -> dict[str, Any]:
    """Crossings by class with the detections of the model.

    Returns:
        `counted` and `exact`: numbers by class and direction.
    """
    made = film(options.folder, options.seconds, options.film_seed)
    counted: dict[str, dict[str, int]] = {}
    with create_pipeline(url=url, model=options.model, max_in_flight=options.concurrency) as pipeline:
        for result in pipeline.watch(made.path, lines={"line": made.line}):
            line = result["counts"]["lines"]["line"]
            counted = {}
            for direction in ("in", "out"):
                for label, number in line[direction].items():
                    counted.setdefault(label, {})[direction] = number
    return {"exact": made.crossings, "counted": counted, "seconds": options.seconds}


def measure_still(options: Options, url: str) -> dict[str, Any]:
    """What `skip_still` keeps of the true objects that all slices find, by the model.

    Returns:
        `truth`, `sliced` and `skipped`: true boxes, and how many of them are found with an IoU of 0.5; `sent`: the
        share of slices.
    """
    made = film(options.folder, options.seconds, options.film_seed)
    with create_pipeline(url=url, model=options.model, max_in_flight=options.concurrency) as pipeline:
        sliced, _ = _found(pipeline, made, skip_still=False)
        skipped, last = _found(pipeline, made, skip_still=True)
    sent, total = (last.slices if last is not None else None) or (0, 0)
    frames = round(min(_STILL_S, options.seconds) * RATE)
    truth = sum(len(boxes) for boxes in made.boxes[:frames])
    return {"truth": truth, "sliced": sliced, "skipped": skipped, "sent": round(sent / max(1, total), 4)}


def _found(pipeline: Pipeline, made: Any, *, skip_still: bool) -> tuple[int, FrameResult | None]:
    hits, last = 0, None
    for last in pipeline.watch(
        made.path, duration=_STILL_S, slice_infer=True, slice_size=_SLICE // 2, skip_still=skip_still
    ):
        boxes = np.array([box["coordinate"] for box in last.boxes], np.float64).reshape(-1, 4)
        hits += int((overlap(made.boxes[last["frame"]], boxes).max(axis=1, initial=0.0) >= 0.5).sum())
    return hits, last
