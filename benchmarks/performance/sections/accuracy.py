"""The section `accuracy`: which objects each precision finds differently from FP32, and its AP on labelled images."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evaluation import served
from benchmarks.evaluation.classes import align
from benchmarks.evaluation.datasets import read_dataset
from benchmarks.evaluation.errors import EvaluationError
from benchmarks.evaluation.metrics import evaluate
from benchmarks.performance.errors import BenchmarkError
from benchmarks.performance.loadgen.clients import EnsembleClient
from benchmarks.performance.options import Options
from benchmarks.performance.participants import Participants, resumed
from export.precision import LIMITS, Precision
from sod.detections import Detections
from sod.frame import clip
from sod.matching import matched_share

_CONCURRENCY = 2
_QUICK_IMAGES = 3


def measure(participants: Participants, options: Options) -> dict[str, Any]:
    """Compare all profiles on the same images.

    Returns:
        `reference`: the FP32 profile with which the others are compared, or None. `images`, `objects`: how many were
        compared. `labels`: name of the labelled data, or empty. `profiles`: by profile `matched` (see
        `sod.matching.matched_share`), `limit` of the export's accuracy check, `passed`, and with labels `ap` and
        `ap50`.
    """
    reference = next((name for name in participants.servers if participants.detectors[name].precision == "FP32"), None)
    found = {profile: _objects(participants, profile) for profile in participants.servers}
    labelled = _labelled(participants, options.labels, quick=options.quick) if options.labels else {}
    profiles: dict[str, Any] = {}
    for profile, objects in found.items():
        precision = Precision(participants.detectors[profile].precision.lower())
        limit = LIMITS[precision].matched
        share = _share(found[reference], objects, participants.threshold) if reference else None
        profiles[profile] = {
            "precision": precision.upper(),
            "matched": share,
            "limit": limit,
            "passed": share is not None and share >= limit,
            **labelled.get(profile, {}),
        }
    over = [int((one.scores > participants.threshold).sum()) for one in found[reference]] if reference else []
    return {
        "reference": reference,
        "images": len(participants.images),
        "objects": sum(over),
        "labels": options.labels.name if options.labels else "",
        "profiles": profiles,
    }


def _objects(participants: Participants, profile: str) -> list[Detections]:
    """The objects of every image over half the threshold, which `matched_share` needs."""
    server = participants.servers[profile]
    found = []
    with resumed(server):
        for image in participants.images:
            client = EnsembleClient(
                server.grpc, participants.model, participants.classes, image.data, participants.threshold / 2
            )
            found.append(clip(client.detect(), image.width, image.height))
    return found


def _share(reference: Sequence[Detections], others: Sequence[Detections], threshold: float) -> float:
    """The mean of `matched_share` over all images, weighted by their numbers of objects."""
    shares = [matched_share(a, b, threshold) for a, b in zip(reference, others, strict=True)]
    counts = ([int((one.scores > threshold).sum()) for one in side] for side in (reference, others))
    weights = [a + b for a, b in zip(*counts, strict=True)]
    return round(float(np.average(shares, weights=weights)), 4) if sum(weights) else 1.0


def _labelled(participants: Participants, labels: Path, *, quick: bool) -> dict[str, dict[str, float]]:
    """AP and AP50 of the ensemble by profile.

    Raises:
        BenchmarkError: the labels cannot be read, or do not fit the model.
    """
    found = {}
    try:
        for profile, server in participants.servers.items():
            with resumed(server):
                model = served.find_model(server.url, participants.model)
                dataset = align(read_dataset(labels), model.labels)
                images = dataset.images[:_QUICK_IMAGES] if quick else dataset.images
                dataset = type(dataset)(images, dataset.class_names)
                print(f"{participants.model}, {profile}: {len(images)} labelled images", file=sys.stderr, flush=True)
                with served.through_triton(server.grpc, model) as predict:
                    objects = served.detect_all(predict, images, _CONCURRENCY, profile)
            figures = evaluate(dataset, objects, model.labels)
            found[profile] = {"ap": round(figures.ap, 5), "ap50": round(figures.ap50, 5)}
    except EvaluationError as error:
        raise BenchmarkError(str(error)) from None
    return found
