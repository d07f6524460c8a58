"""The gate: no artefact is installed unless it says what Paddle Inference says, within its precision's limits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.errors import CheckFailedError
from export.precision import Limits
from export.verification.reference import Detector, Raw, Reference, in_batches
from sod.detections import Detections
from sod.nms import multiclass_nms

# Objects over 0.5 are matched; where the reference has too few to tell anything, those over the next of these.
MATCH_SCORES = (0.5, 0.25, 0.1, 0.05)
ENOUGH_OBJECTS = 10
MATCH_IOU = 0.5
# A thinner box has no IoU to speak of; heads give them, even inverted ones, where they are untrained.
MIN_SIDE = 1.0


@dataclass(frozen=True, slots=True)
class Measured:
    """One artefact against the reference; NaN or infinite where it said nothing usable.

    Attributes:
        name: the file and what ran it.
        box: difference in pixels, the `Limits.quantile` of `anchors`.
        score: likewise.
        matched: share of the objects over `threshold` that both sides have; 1 where there is none.
        objects: how many of them the reference has.
        threshold: one of `MATCH_SCORES`.
        anchors: how many were looked at: `Limits.floor`.
        limits: what passes.
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
        """Whether all three hold; a NaN never does."""
        return self.box <= self.limits.box and self.score <= self.limits.score and self.matched >= self.limits.matched


def measure(name: str, detector: Detector, reference: Reference, limits: Limits) -> Measured:
    """Run a detector on the reference's images, one by one, and compare.

    Raises:
        ExportError: it cannot be run.
    """
    return compare_raw(name, reference.raw, in_batches(detector, reference.pixels, 1), limits)


def compare_raw(name: str, expected: Raw, actual: Raw, limits: Limits) -> Measured:
    """Compare raw outputs: boxes [M, A, 4] and scores [M, C, A]."""
    if any(a.shape != b.shape for a, b in zip(expected, actual, strict=True)):
        return Measured(name, math.inf, math.inf, 0.0, 0, MATCH_SCORES[0], 0, limits)
    looked_at = expected[1].max(axis=1) > limits.floor  # [M, A]
    box = np.abs(expected[0].astype(np.float64) - actual[0])[looked_at]
    score = np.abs(expected[1].astype(np.float64) - actual[1]).max(axis=1)[looked_at]
    share, objects, threshold = _matched(expected, actual, limits)
    # "higher": a value that was measured, and of few the largest.
    held_box, held_score = (
        float(np.quantile(values, limits.quantile, method="higher")) if values.size else 0.0 for values in (box, score)
    )
    return Measured(name, held_box, held_score, share, objects, threshold, int(looked_at.sum()), limits)


def format_table(results: Sequence[Measured]) -> str:
    """Measured values beside their limits."""
    heads = ("against Paddle Inference", "box, px", "(limit)", "score", "(limit)", "matched", "(limit)", "objects")
    lines = [heads, *map(_cells, results)]
    width = max(len(line[0]) for line in lines)
    return "\n".join(_LINE.format(line[0].ljust(width), *line[1:]).rstrip() for line in lines)


_LINE = "{}{:>10}{:>9}{:>10}{:>9}{:>9}{:>9}  {}"


def _cells(line: Measured) -> tuple[str, ...]:
    limits = line.limits
    objects = f"{line.objects} over {line.threshold:g}{'' if line.passed else '  TOO LARGE'}"
    return (
        *(f"  {line.name}", f"{line.box:.4f}", f"{limits.box:g}", f"{line.score:.5f}", f"{limits.score:g}"),
        *(f"{line.matched:.1%}", f"{limits.matched:.0%}", objects),
    )


def require(results: Sequence[Measured], consequence: str = "was deleted") -> None:
    """Raise CheckFailedError, naming the artefacts, by what they fail and what follows, unless all passed."""
    failed = [
        f"{line.name}: box {line.box:.3g} px (limit {line.limits.box:g}), score {line.score:.3g} "
        f"(limit {line.limits.score:g}), matched {line.matched:.1%} (limit {line.limits.matched:.0%})"
        for line in results
        if not line.passed
    ]
    if failed:
        raise CheckFailedError(f"differs too much from Paddle Inference, and {consequence}: {'; '.join(failed)}")


def _matched(expected: Raw, actual: Raw, limits: Limits) -> tuple[float, int, float]:
    """Share of both sides' objects that the other side has; how many the reference has, and over what score."""
    images = range(len(expected[0]))
    for threshold in MATCH_SCORES:
        wanted = [_with_area(_objects(expected, index, threshold)) for index in images]
        objects = sum(len(found) for found in wanted)
        if objects >= ENOUGH_OBJECTS:
            break
    given = [_with_area(_objects(actual, index, threshold)) for index in images]
    # An object that a small difference takes across the threshold is no other object.
    lower = max(threshold - limits.score, threshold / 2)
    hits = sum(
        _found(wanted[index], _objects(actual, index, lower)) + _found(given[index], _objects(expected, index, lower))
        for index in images
    )
    total = objects + sum(len(found) for found in given)
    return (hits / total if total else 1.0), objects, threshold


def _objects(raw: Raw, index: int, threshold: float) -> Detections:
    boxes, scores = np.nan_to_num(raw[0][index]), np.nan_to_num(raw[1][index])
    return multiclass_nms(boxes, scores, np.full(len(scores), threshold, np.float32))


def _with_area(objects: Detections) -> Detections:
    kept = (objects.boxes[:, 2:] - objects.boxes[:, :2]).min(axis=1, initial=np.inf) >= MIN_SIDE
    return Detections(objects.boxes[kept], objects.scores[kept], objects.class_ids[kept])


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
