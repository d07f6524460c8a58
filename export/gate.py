"""The gate: no artefact is installed unless it says what Paddle Inference says, within its precision's limits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.errors import CheckFailedError
from export.precision import Limits
from export.reference import Detector, Raw, Reference, in_batches
from sod.detections import Detections
from sod.nms import multiclass_nms

MATCH_SCORE = 0.5
MATCH_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Measured:
    """One artefact against the reference; NaN or infinite where it said nothing usable.

    Attributes:
        name: the file and what ran it.
        box: largest difference, pixels, over `anchors`.
        score: largest difference, over `anchors`.
        matched: share of the objects over 0.5 that both sides have; 1 where there is none.
        objects: how many of them the reference has.
        anchors: how many were looked at: `Limits.floor`.
        limits: what passes.
    """

    name: str
    box: float
    score: float
    matched: float
    objects: int
    anchors: int
    limits: Limits

    @property
    def passed(self) -> bool:
        """Whether all three hold; a NaN never does."""
        return self.box <= self.limits.box and self.score <= self.limits.score and self.matched >= self.limits.matched


def measure(name: str, detector: Detector, reference: Reference, limits: Limits) -> Measured:
    """Run a detector on the reference's pictures, one by one, and compare.

    Raises:
        ExportError: it cannot be run.
    """
    return compare_raw(name, reference.raw, in_batches(detector, reference.pixels, 1), limits)


def compare_raw(name: str, expected: Raw, actual: Raw, limits: Limits) -> Measured:
    """Compare raw outputs: boxes [M, A, 4] and scores [M, C, A]."""
    if any(a.shape != b.shape for a, b in zip(expected, actual, strict=True)):
        return Measured(name, math.inf, math.inf, 0.0, 0, 0, limits)
    looked_at = expected[1].max(axis=1) > limits.floor  # [M, A]
    box = np.abs(expected[0].astype(np.float64) - actual[0])[looked_at]
    score = np.abs(expected[1].astype(np.float64) - actual[1]).max(axis=1)[looked_at]
    share, objects = _matched(expected, actual, limits)
    largest_box, largest_score = (float(values.max(initial=0.0)) for values in (box, score))
    return Measured(name, largest_box, largest_score, share, objects, int(looked_at.sum()), limits)


def format_table(results: Sequence[Measured]) -> str:
    """Measured values beside their limits."""
    lines = [f"{'against Paddle Inference':<44}{'box, px':>10}{'(limit)':>9}{'score':>10}{'(limit)':>9}{'matched':>9}"]
    lines[0] += f"{'(limit)':>9}{'objects':>9}"
    lines += [
        f"  {line.name:<42}{line.box:>10.4f}{line.limits.box:>9g}{line.score:>10.5f}{line.limits.score:>9g}"
        f"{line.matched:>9.1%}{line.limits.matched:>9.0%}{line.objects:>9}{'' if line.passed else '  TOO LARGE'}"
        for line in results
    ]
    return "\n".join(lines)


def require(results: Sequence[Measured]) -> None:
    """Raise CheckFailedError, naming the artefacts and by what they fail, unless all passed."""
    failed = [
        f"{line.name}: box {line.box:.3g} px (limit {line.limits.box:g}), score {line.score:.3g} "
        f"(limit {line.limits.score:g}), matched {line.matched:.1%} (limit {line.limits.matched:.0%})"
        for line in results
        if not line.passed
    ]
    if failed:
        raise CheckFailedError(f"differs too much from Paddle Inference, and was deleted: {'; '.join(failed)}")


def _matched(expected: Raw, actual: Raw, limits: Limits) -> tuple[float, int]:
    """Share of both sides' objects that the other side has, and the reference's number of objects."""
    hits = total = objects = 0
    for index in range(len(expected[0])):
        ours, theirs = (
            [_objects(raw, index, threshold) for threshold in (MATCH_SCORE, MATCH_SCORE - limits.score)]
            for raw in (actual, expected)
        )
        hits += _found(theirs[0], ours[1]) + _found(ours[0], theirs[1])
        total += len(theirs[0]) + len(ours[0])
        objects += len(theirs[0])
    return (hits / total if total else 1.0), objects


def _objects(raw: Raw, index: int, threshold: float) -> Detections:
    boxes, scores = np.nan_to_num(raw[0][index]), np.nan_to_num(raw[1][index])
    return multiclass_nms(boxes, scores, np.full(len(scores), threshold, np.float32))


def _found(objects: Detections, among: Detections) -> int:
    """How many of `objects` have a partner, each partner taken once; the best scores choose first."""
    if not len(objects) or not len(among):
        return 0
    overlaps = _iou(objects.boxes, among.boxes)
    overlaps[objects.class_ids[:, None] != among.class_ids] = 0
    found = 0
    for row in np.argsort(-objects.scores, kind="stable"):
        best = int(overlaps[row].argmax())
        if overlaps[row, best] >= MATCH_IOU:
            overlaps[:, best] = 0
            found += 1
    return found


def _iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """[len(a), len(b)] of xyxy boxes."""
    left, right = np.maximum(a[:, None, :2], b[:, :2]), np.minimum(a[:, None, 2:], b[:, 2:])
    intersection = np.clip(right - left, 0, None).astype(np.float64).prod(axis=2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).astype(np.float64).prod(axis=1) for boxes in (a, b)]
    return np.asarray(intersection / np.maximum(areas[0][:, None] + areas[1] - intersection, 1e-9))
