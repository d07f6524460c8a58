"""Where the time of a request goes: the stages in Triton, and pre- and postprocess on a hard image."""

import sys
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.performance.errors import BenchmarkError
from benchmarks.performance.loadgen.clients import Ensemble
from benchmarks.performance.loadgen.closed_loop import drive
from benchmarks.performance.loadgen.traces import Traced, collector, stage_ms
from benchmarks.performance.options import LATENCY, LOADED, Options
from benchmarks.performance.participants import Participants
from benchmarks.performance.report.figures import median
from benchmarks.servers import started
from server.launching import StartError
from sod.image import decode_image, scale_factor, to_pixels
from sod.nms import multiclass_nms

CANDIDATES = 3_000
_SIDES = (640, 1920)
_STRIDES = (8, 16, 32)
_CLASSES = 10
_REPEATS = 20
_QUICK_REPEATS = 3


def measure(participants: Participants, options: Options) -> dict[str, Any]:
    """Both.

    Returns:
        `profiles`: by profile and concurrency, the median milliseconds of each stage by traces, in order; `synthetic`:
        by the detector's side `preprocess_ms` (of the first image), `postprocess_ms`, `candidates`.
    """
    repeats = _QUICK_REPEATS if options.quick else _REPEATS
    return {
        "profiles": {profile: _traced(participants, profile, options) for profile in participants.servers},
        "synthetic": {str(side): _hard(participants.images[0].data, side, repeats) for side in _SIDES},
    }


def _traced(participants: Participants, profile: str, options: Options) -> dict[str, dict[str, float]]:
    """By a server of its own: one that traces is another than one that does not."""
    print(f"{participants.model}, {profile}: starting a server that traces", file=sys.stderr, flush=True)
    arguments = ["--model-repository", str(options.repository), "--unready-restart", "3600"]
    log = options.out / f"server-{participants.model}-{profile}-traced.log"
    found: dict[str, dict[str, float]] = {}
    with collector() as spans:
        settings = {"SOD_OTLP_ENDPOINT": spans.url, "SOD_TRACE_RATIO": "0"}
        try:
            with started(profile, [participants.model], arguments, log, **settings) as server:
                plain = Ensemble(
                    server.grpc,
                    participants.model,
                    participants.classes,
                    participants.images[0].data,
                    participants.threshold,
                )
                for concurrency in (LATENCY, LOADED):
                    drive(plain, concurrency, min(1.0, options.seconds))
                    spans.spans.clear()
                    seen = drive(Traced(plain), concurrency, options.seconds, least=concurrency)
                    spans.wait_for(participants.model, len(seen.latencies_ms))
                    requests = stage_ms(spans.spans, participants.model)
                    names = list(requests[0]) if requests else []
                    found[str(concurrency)] = {
                        name: round(median([request[name] for request in requests]), 3) for name in names
                    }
        except StartError as error:
            raise BenchmarkError(str(error)) from None
    return found


def _hard(image: bytes, side: int, repeats: int) -> dict[str, float]:
    """One thread, as in Triton, where parallelism is across images."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        pixels = decode_image(image)
        factor = scale_factor(pixels, (side, side))
        boxes, scores = crowded(side, CANDIDATES)
        threshold = np.full(len(scores), 0.5, np.float32)
        before = _time(lambda: to_pixels(decode_image(image), (side, side)), repeats)
        after = _time(lambda: multiclass_nms(boxes, scores, threshold, factor), repeats)
    finally:
        cv2.setNumThreads(threads)
    return {"preprocess_ms": before, "postprocess_ms": after, "candidates": CANDIDATES}


def crowded(side: int, candidates: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Raw output with so many scores over 0.5, several to an object, as of a crowd.

    Returns:
        Boxes float32 [A, 4], xyxy in the detector's pixels, and scores float32 [10, A].
    """
    random = np.random.default_rng(0)
    anchors = sum((side // stride) ** 2 for stride in _STRIDES)
    centres = random.uniform(0, side, (candidates // 5, 2))
    places = centres[random.integers(0, len(centres), anchors)] + random.normal(0, 1.5, (anchors, 2))
    halves = random.uniform(4, 12, (anchors, 2))
    boxes = np.concatenate([places - halves, places + halves], axis=1).astype(np.float32)
    scores = random.uniform(0, 0.05, (_CLASSES, anchors)).astype(np.float32)
    chosen = random.permutation(anchors)[:candidates]
    # Crowds are of a few classes.
    scores[random.choice(_CLASSES, candidates, p=_class_shares()), chosen] = random.uniform(0.51, 0.95, candidates)
    return boxes, scores


def _class_shares() -> NDArray[np.float64]:
    shares = 0.5 ** np.arange(_CLASSES)
    return np.asarray(shares / shares.sum())


def _time(run: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats + 1):
        started_at = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - started_at))
    return round(median(times[1:]), 3)
