"""The accuracy check: only artefacts that agree with Paddle Inference within their limits are installed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from export.errors import CheckFailedError
from export.precision import Limits
from export.tables import Table
from export.verification.reference import Detector, RawOutputs, Reference, run_in_batches
from sod.detections import Detections
from sod.matching import count_shared, drop_thin
from sod.nms import multiclass_nms

# Objects are compared over the first of these thresholds at which the reference has `ENOUGH_OBJECTS`, else the last.
THRESHOLDS = (0.5, 0.25, 0.1, 0.05)
ENOUGH_OBJECTS = 10


@dataclass(frozen=True, slots=True)
class AccuracyResult:
    """One artefact compared with the reference.

    Attributes:
        name: the file and the engine that ran it.
        box: the `Limits.quantile` of the box differences, in pixels of the detector's input; NaN if an output is NaN,
            infinite if the shapes differ.
        score: likewise of the score differences.
        matched: the share of both sides' objects over `threshold` that the other side has too; 1 if there are none.
        objects: how many objects the reference has over `threshold`.
        threshold: one of `THRESHOLDS`.
        anchors: how many anchors were measured, see `Limits.min_score`.
        limits: the limits of the artefact's precision.
    """

    name: str
    box: float
    score: float
    matched: float
    objects: int
    threshold: float
    anchors: int
    limits: Limits

    @property
    def passed(self) -> bool:
        """Whether all three values are within their limits; NaN never is."""
        return self.box <= self.limits.box and self.score <= self.limits.score and self.matched >= self.limits.matched


def check_accuracy(name: str, detector: Detector, reference: Reference, limits: Limits) -> AccuracyResult:
    """Run a detector on the reference's images, one by one, and compare its outputs.

    Raises:
        ExportError: the detector cannot be run.
    """
    return compare_outputs(name, reference.outputs, run_in_batches(detector, reference.pixels, 1), limits)


def compare_outputs(name: str, expected: RawOutputs, actual: RawOutputs, limits: Limits) -> AccuracyResult:
    """Compare raw outputs: boxes float32 [M, A, 4] and scores float32 [M, C, A]."""
    if any(a.shape != b.shape for a, b in zip(expected, actual, strict=True)):
        return AccuracyResult(name, math.inf, math.inf, 0.0, 0, THRESHOLDS[0], 0, limits)
    measured = expected[1].max(axis=1) > limits.min_score  # [M, A]
    box_differences = np.abs(expected[0].astype(np.float64) - actual[0])[measured]
    score_differences = np.abs(expected[1].astype(np.float64) - actual[1]).max(axis=1)[measured]
    # The method "higher" returns a measured value, and of few values the largest.
    box, score = (
        float(np.quantile(values, limits.quantile, method="higher")) if values.size else 0.0
        for values in (box_differences, score_differences)
    )
    matched, objects, threshold = _compare_objects(expected, actual, limits)
    return AccuracyResult(name, box, score, matched, objects, threshold, int(measured.sum()), limits)


def accuracy_table(results: Sequence[AccuracyResult]) -> Table:
    """The measured values beside their limits."""
    header = ["against Paddle Inference", "box, px", "limit", "score", "limit", "matched", "limit"]
    return Table([*header, "objects", "anchors", "result"], [_cells(result) for result in results])


def _cells(result: AccuracyResult) -> list[str]:
    limits = result.limits
    return [
        *(result.name, f"{result.box:.4f}", f"{limits.box:g}", f"{result.score:.5f}", f"{limits.score:g}"),
        *(f"{result.matched:.1%}", f"{limits.matched:.0%}", f"{result.objects} over {result.threshold:g}"),
        *(str(result.anchors), "passed" if result.passed else "FAILED"),
    ]


def require_passed(results: Sequence[AccuracyResult], consequence: str = "was deleted") -> None:
    """Raise unless all results passed.

    Args:
        results: of `check_accuracy`.
        consequence: completes the error text: what happens to an artefact that fails.

    Raises:
        CheckFailedError: names the artefacts that failed, with values and limits.
    """
    failed = [
        f"{result.name}: box {result.box:.3g} px (limit {result.limits.box:g}), score {result.score:.3g} "
        f"(limit {result.limits.score:g}), matched {result.matched:.1%} (limit {result.limits.matched:.0%})"
        for result in results
        if not result.passed
    ]
    if failed:
        raise CheckFailedError(f"differs too much from Paddle Inference, and {consequence}: {'; '.join(failed)}")


def _compare_objects(expected: RawOutputs, actual: RawOutputs, limits: Limits) -> tuple[float, int, float]:
    """The matched share, the number of the reference's objects, and the threshold that they exceed."""
    images = range(len(expected[0]))
    for threshold in THRESHOLDS:
        objects = sum(len(drop_thin(_detections(expected, image, threshold))) for image in images)
        if objects >= ENOUGH_OBJECTS:
            break
    # A match may be below the threshold: a difference within the limits can move a score across it.
    lower = max(threshold - limits.score, threshold / 2)
    counts = [
        count_shared(_detections(expected, image, lower), _detections(actual, image, lower), threshold)
        for image in images
    ]
    matched, total = (sum(count) for count in zip(*counts, strict=True))
    return (matched / total if total else 1.0), objects, threshold


def _detections(outputs: RawOutputs, image: int, threshold: float) -> Detections:
    boxes, scores = np.nan_to_num(outputs[0][image]), np.nan_to_num(outputs[1][image])
    return multiclass_nms(boxes, scores, np.full(len(scores), threshold, np.float32))
