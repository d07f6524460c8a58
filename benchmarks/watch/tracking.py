"""The sections `tracking` and `counting`: made boxes, without a detector."""

import importlib
import statistics
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sod_client._streams.counting import shapes
from sod_client._streams.counting.lines import LineCounter
from sod_client._streams.tracking.byte_track import ByteTrack
from sod_client._streams.tracking.options import TrackOptions

from benchmarks.watch.metrics import Frames, hota, idf1, mota
from benchmarks.watch.options import Options
from benchmarks.watch.street import LINE, RATE, Film, film
from sod.datasets.class_names import VISDRONE_CLASSES

_SECONDS = 14.0
_STEPS = (1, 5)  # 25 and 5 frames in a second
_KINDS = {"exact boxes": {"drop": 0.0, "jitter": 0.0, "false": 0.0}, "drop-outs and jitter": {}}
_THRESHOLD = 0.5
_PEDESTRIAN = VISDRONE_CLASSES.index("pedestrian")
_LOST_S = 1.5
Tracked = list[tuple[NDArray[np.int64], NDArray[np.float64], list[int]]]
"""Ids, boxes and class ids of each frame."""


def measure(options: Options) -> dict[str, Any]:
    """HOTA, MOTA and IDF1 of our tracker, and of supervision's where it is installed.

    Returns:
        `oracle`: its version, or why it is not measured; `rows`: for each kind of boxes and each frame rate, the means
        over the seeds.
    """
    problem = oracle_problem()
    rows = []
    for kind, detector in _KINDS.items():
        films = [film(_SECONDS, seed, **detector) for seed in range(options.seeds)]
        for step in _STEPS:
            row: dict[str, Any] = {"boxes": kind, "rate": RATE / step, "ours": _scores(films, step, track)}
            row["oracle"] = None if problem else _scores(films, step, track_by_oracle)
            rows.append(row)
    version = "" if problem else f"supervision {importlib.import_module('supervision').__version__}"
    return {"oracle": problem or version, "rows": rows}


def count(options: Options) -> dict[str, Any]:
    """Crossings of a line, with boxes that are missed and shake.

    Returns:
        `rows`: for each seed and frame rate `counted`, `exact` and `wrong`, the sum of differences over class and
        direction.
    """
    rows = []
    for seed in range(options.seeds):
        made = film(_SECONDS, seed)
        for step in (1, 3):
            counter = LineCounter(shapes.lines(LINE)[0])
            for ids, boxes, classes in track(made, step):
                for one, box, class_id in zip(ids.tolist(), boxes.tolist(), classes, strict=True):
                    counter.update(one, str(class_id), box)
            exact = {(direction, str(kind)): number for (kind, direction), number in made.crossings(_SECONDS).items()}
            wrong = sum(abs(counter.counts[key] - exact.get(key, 0)) for key in {*exact, *counter.counts})
            counted = sum(counter.counts.values())
            rows.append(
                {
                    "seed": seed,
                    "rate": round(RATE / step, 1),
                    "counted": counted,
                    "exact": sum(exact.values()),
                    "wrong": wrong,
                }
            )
    return {"rows": rows}


def track(made: Film, step: int = 1) -> Tracked:
    """The frames of a street that are used, as our tracker sees them."""
    tracker, found = ByteTrack(TrackOptions(lost_s=_LOST_S)), []
    for frame, (boxes, scores, class_ids) in list(enumerate(made.seen))[::step]:
        tracks = tracker.update(boxes, scores, class_ids, scores > _THRESHOLD, class_ids == _PEDESTRIAN, frame / RATE)
        used = [k for k, one in enumerate(tracks) if one is not None and one.track_id]
        ids = np.array([one.track_id for one in tracks if one is not None and one.track_id], np.int64)
        classes = [one.class_id for one in tracks if one is not None and one.track_id]
        found.append((ids, boxes[used].reshape(-1, 4), classes))
    return found


def track_by_oracle(made: Film, step: int = 1) -> Tracked:
    """The same by supervision's ByteTrack."""
    supervision = importlib.import_module("supervision")
    tracker = supervision.ByteTrack(
        track_activation_threshold=_THRESHOLD, lost_track_buffer=round(_LOST_S * RATE / step), frame_rate=30
    )
    found: Tracked = []
    for boxes, scores, class_ids in made.seen[::step]:
        tracked = tracker.update_with_detections(
            supervision.Detections(boxes.astype(np.float32), confidence=scores, class_id=class_ids)
        )
        ids = np.array([] if tracked.tracker_id is None else tracked.tracker_id, np.int64)
        found.append((ids, np.asarray(tracked.xyxy, np.float64).reshape(-1, 4), list(tracked.class_id)))
    return found


def oracle_problem() -> str:
    """Why supervision's tracker cannot be measured; empty if it can."""
    try:
        supervision = importlib.import_module("supervision")
    except ImportError:
        return "supervision is not installed"
    if not hasattr(supervision, "ByteTrack"):
        return f"supervision {supervision.__version__} has no tracker: pip install 'supervision==0.27.*'"
    return ""


def _scores(films: list[Film], step: int, tracker: Any) -> dict[str, float]:
    scores: dict[str, list[float]] = {"hota": [], "mota": [], "idf1": [], "switches": []}
    for made in films:
        truth: Frames = [(ids, boxes) for ids, boxes, _ in made.truth][::step]
        found: Frames = [(ids, boxes) for ids, boxes, _ in tracker(made, step)]
        accuracy, switches = mota(truth, found)
        scores["hota"].append(hota(truth, found))
        scores["mota"].append(accuracy)
        scores["idf1"].append(idf1(truth, found))
        scores["switches"].append(switches)
    return {name: round(statistics.mean(values), 4) for name, values in scores.items()}
