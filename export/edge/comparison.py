"""Compares the objects of an edge model with those of the server: the reference's raw outputs through `sod.nms`."""

import numpy as np

from export.edge.runtime import EdgeDetector
from export.precision import Limits
from export.verification.accuracy_check import AccuracyResult
from export.verification.reference import RawOutputs, Reference
from sod.detections import Detections
from sod.matching import box_iou
from sod.nms import NmsConfig, multiclass_nms

# Rounding moves boxes by thousandths of a pixel, and can decide otherwise whether an object suppresses another.
_FLOAT = Limits(box=0.5, score=0.01, matched=0.98)
# Other kernels round a float's last bit differently, which moves a quantised value by a whole step: in eight images
# the worst of 546 objects of the demo differed by 1.5 px and 0.12.
_INT8 = Limits(box=4.0, score=0.25, matched=0.95)
_THRESHOLDS = (0.25, 0.05, 0.01)
_ENOUGH = 10
_SAME = 0.9  # IoU from which two boxes of a class are one object: the next one has at most the NMS's IoU


def compare_objects(  # noqa: PLR0913 - what is compared, with what
    name: str, detector: EdgeDetector, pixels: Reference, outputs: RawOutputs, nms: NmsConfig, *, int8: bool = False
) -> AccuracyResult:
    """Compare the final objects, image by image.

    Args:
        name: the artefact and its engine, for the table.
        detector: the edge model.
        pixels: the images, at the size of the detector's input.
        outputs: the raw outputs that the edge model's detector gives for them.
        nms: its NMS.
        int8: whether the detector is quantised, which has wider limits.

    Raises:
        ExportError: the edge model cannot be run.
    """
    expected = [_best_first(multiclass_nms(b, s, np.zeros(len(s), np.float32), None, nms)) for b, s in _pairs(outputs)]
    actual = [detector(image) for image in pixels.pixels]
    for threshold in _THRESHOLDS:
        objects = sum(int((found.scores > threshold).sum()) for found in expected)
        if objects >= _ENOUGH:
            break
    both = [*zip(expected, actual, strict=True)]
    results = [_compare(one, other, threshold) for one, other in both]
    results += [_compare(other, one, threshold) for one, other in both]
    counts = np.array([(found, total) for found, total, _, _ in results]).sum(axis=0)
    box, score = (max(result[column] for result in results) for column in (2, 3))
    share = float(counts[0] / counts[1]) if counts[1] else 1.0
    return AccuracyResult(name, box, score, share, objects, threshold, objects, _INT8 if int8 else _FLOAT)


def _pairs(outputs: RawOutputs) -> zip:  # type: ignore[type-arg]
    return zip(*outputs, strict=True)


def _best_first(found: Detections) -> Detections:
    found = found.with_area()
    return found.of(np.argsort(-found.scores, kind="stable"))


def _compare(one: Detections, other: Detections, threshold: float) -> tuple[int, int, float, float]:
    """How many objects over the threshold the other side has, of how many, and the largest differences of these."""
    wanted = one.of(one.scores > threshold)
    if not len(wanted) or not len(other):
        return 0, len(wanted), 0.0, 0.0
    overlaps = np.where(wanted.class_ids[:, None] == other.class_ids, box_iou(wanted.boxes, other.boxes), 0.0)
    best = overlaps.argmax(axis=1)
    same = overlaps.max(axis=1) >= _SAME
    if not same.any():
        return 0, len(wanted), 0.0, 0.0
    box = np.abs(wanted.boxes - other.boxes[best])[same].max()
    score = np.abs(wanted.scores - other.scores[best])[same].max()
    return int(same.sum()), len(wanted), float(box), float(score)
