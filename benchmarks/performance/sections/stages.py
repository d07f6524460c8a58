"""The section `stages`: time of each stage in Triton, and of pre- and postprocessing with many candidates."""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.performance.errors import BenchmarkError
from benchmarks.performance.loadgen.clients import EnsembleClient
from benchmarks.performance.loadgen.closed_loop import run_closed_loop
from benchmarks.performance.loadgen.traces import TracedEnsembleClient, collector, stage_ms
from benchmarks.performance.options import LATENCY_CLIENTS, LOAD_CLIENTS, Options
from benchmarks.performance.participants import Participants
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
    """Measure the stages in each profile, and pre- and postprocessing outside Triton.

    Returns:
        `profiles`: by profile and concurrency, the median time of each stage in milliseconds, in order. `synthetic`: by
        the side of the detector's input, `preprocess_ms` of the first image, `postprocess_ms`, `candidates`.
    """
    repeats = _QUICK_REPEATS if options.quick else _REPEATS
    return {
        "profiles": {profile: _traced(participants, profile, options) for profile in participants.servers},
        "synthetic": {str(side): _time_synthetic(participants.images[0].data, side, repeats) for side in _SIDES},
    }


def _traced(participants: Participants, profile: str, options: Options) -> dict[str, dict[str, float]]:
    """The stages' times by concurrency, on a server of its own, because tracing slows a server down.

    Raises:
        BenchmarkError: the server does not start.
    """
    model = participants.model
    print(f"{model}, {profile}: starting a server with tracing", file=sys.stderr, flush=True)
    arguments = ["--model-repository", str(options.repository), "--unready-restart", "3600"]
    log = options.out / f"server-{model}-{profile}-traced.log"
    times: dict[str, dict[str, float]] = {}
    with collector() as spans:
        settings = {"SOD_OTLP_ENDPOINT": spans.url, "SOD_TRACE_RATIO": "0"}
        try:
            with started(profile, [model], arguments, log, **settings) as server:
                image, threshold = participants.images[0].data, participants.threshold
                client = EnsembleClient(server.grpc, model, participants.classes, image, threshold)
                traced = TracedEnsembleClient(client)
                for concurrency in (LATENCY_CLIENTS, LOAD_CLIENTS):
                    run_closed_loop(client, concurrency, min(1.0, options.seconds))
                    spans.spans.clear()
                    result = run_closed_loop(traced, concurrency, options.seconds, min_responses=concurrency)
                    spans.wait_for(model, len(result.latencies_ms))
                    requests = stage_ms(spans.spans, model)
                    names = list(requests[0]) if requests else []
                    times[str(concurrency)] = {
                        name: round(statistics.median(request[name] for request in requests), 3) for name in names
                    }
        except StartError as error:
            raise BenchmarkError(str(error)) from None
    return times


def _time_synthetic(image: bytes, side: int, repeats: int) -> dict[str, float]:
    """Pre- and postprocessing on one thread, as in Triton, which works on several images in parallel."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        pixels = decode_image(image)
        factor = scale_factor(pixels, (side, side))
        boxes, scores = synthetic_output(side, CANDIDATES)
        threshold = np.full(len(scores), 0.5, np.float32)
        preprocess_ms = _median_ms(lambda: to_pixels(decode_image(image), (side, side)), repeats)
        postprocess_ms = _median_ms(lambda: multiclass_nms(boxes, scores, threshold, factor), repeats)
    finally:
        cv2.setNumThreads(threads)
    return {"preprocess_ms": preprocess_ms, "postprocess_ms": postprocess_ms, "candidates": CANDIDATES}


def synthetic_output(side: int, candidates: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Synthetic detector output for an image of many objects, several candidates for each.

    Args:
        side: of the detector's square input, in pixels.
        candidates: number of scores over 0.5.

    Returns:
        Boxes float32 [A, 4], xyxy in pixels of the detector's input, and scores float32 [10, A].
    """
    random = np.random.default_rng(0)
    anchors = sum((side // stride) ** 2 for stride in _STRIDES)
    centres = random.uniform(0, side, (candidates // 5, 2))
    places = centres[random.integers(0, len(centres), anchors)] + random.normal(0, 1.5, (anchors, 2))
    halves = random.uniform(4, 12, (anchors, 2))
    boxes = np.concatenate([places - halves, places + halves], axis=1).astype(np.float32)
    scores = random.uniform(0, 0.05, (_CLASSES, anchors)).astype(np.float32)
    chosen = random.permutation(anchors)[:candidates]
    # In real images of many objects most belong to a few classes.
    scores[random.choice(_CLASSES, candidates, p=_class_shares()), chosen] = random.uniform(0.51, 0.95, candidates)
    return boxes, scores


def _class_shares() -> NDArray[np.float64]:
    shares = 0.5 ** np.arange(_CLASSES)
    return np.asarray(shares / shares.sum())


def _median_ms(run: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats + 1):
        started_at = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - started_at))
    return round(statistics.median(times[1:]), 3)
