"""The accuracy check: measurements, limits, error texts."""

import itertools

import numpy as np
import pytest

from export.errors import CheckFailedError
from export.precision import LIMITS, Limits, Precision, Target, applicable
from export.verification.accuracy_check import (
    ENOUGH_OBJECTS,
    accuracy_table,
    check_accuracy,
    compare_outputs,
    require_passed,
)
from export.verification.reference import RawOutputs, Reference

LIMITS_ALL = Limits(box=1.0, score=0.1, matched=0.9)


def raw(anchors: int = 40, classes: int = 3, score: float = 0.8) -> RawOutputs:
    """One image with a row of separate boxes; every second one has class 0 and the score."""
    left = np.arange(anchors, dtype=np.float32) * 30
    boxes = np.stack([left, np.zeros(anchors), left + 20, np.full(anchors, 20)], axis=1)[None].astype(np.float32)
    scores = np.zeros((1, classes, anchors), np.float32)
    scores[0, 0, ::2] = score
    return boxes, scores


def test_equal_is_equal() -> None:
    result = compare_outputs("x", raw(), raw(), LIMITS_ALL)
    assert (result.box, result.score, result.matched, result.objects, result.threshold) == (0, 0, 1, 20, 0.5)
    assert result.anchors == 40
    assert result.passed


def test_only_anchors_over_min_score_are_measured() -> None:
    expected = raw()
    actual = expected[0].copy(), expected[1].copy()
    actual[0][0, 1] += 500  # an anchor without any score
    assert not compare_outputs("x", expected, actual, Limits(1, 1, 0.5)).passed
    result = compare_outputs("x", expected, actual, Limits(1, 1, 0.5, min_score=0.05))
    assert (result.box, result.anchors) == (0, 20)
    assert result.passed


def test_objects_lost_and_objects_invented_count_alike() -> None:
    expected = raw()
    lost, invented = expected[1].copy(), expected[1].copy()
    lost[0, 0, :8] = 0
    invented[0, 1, 1:8:2] = 0.9
    for scores in (lost, invented):
        result = compare_outputs("x", expected, (expected[0], scores), Limits(1, 1, 0.95, min_score=0.05))
        assert 0.88 < result.matched < 0.92
        assert not result.passed


def test_another_class_is_another_object() -> None:
    expected = raw()
    scores = np.roll(expected[1], 1, axis=1)
    assert compare_outputs("x", expected, (expected[0], scores), LIMITS_ALL).matched == 0


def test_a_score_that_crosses_the_threshold_by_less_than_its_limit_is_no_loss() -> None:
    result = compare_outputs("x", raw(score=0.52), raw(score=0.48), LIMITS_ALL)
    assert result.matched == 1
    assert compare_outputs("x", raw(score=0.65), raw(score=0.35), LIMITS_ALL).matched == 0


def test_a_lower_threshold_is_used_if_there_are_few_objects() -> None:
    expected = raw(score=0.3)
    assert compare_outputs("x", expected, expected, LIMITS_ALL).threshold == 0.25
    nothing = raw(score=0.001)
    result = compare_outputs("x", nothing, nothing, LIMITS_ALL)
    assert (result.matched, result.objects, result.threshold) == (1, 0, 0.05)
    few = raw(2 * (ENOUGH_OBJECTS - 1))
    assert compare_outputs("x", few, few, LIMITS_ALL).objects == ENOUGH_OBJECTS - 1


def test_boxes_without_an_area_are_not_counted() -> None:
    expected = raw()
    boxes = expected[0].copy()
    boxes[0, 0, 2] = boxes[0, 0, 0] - 3
    result = compare_outputs("x", (boxes, expected[1]), (boxes, expected[1]), LIMITS_ALL)
    assert (result.matched, result.objects) == (1, 19)


def test_a_quantile_ignores_single_anchors_but_not_all() -> None:
    expected = raw(anchors=400)
    boxes = expected[0].copy()
    boxes[0, 2] += 5
    limits = Limits(1, 1, 0.5, min_score=0.05, quantile=0.99)
    assert compare_outputs("x", expected, (boxes, expected[1]), limits).box == 0
    assert compare_outputs("x", expected, (boxes + 2, expected[1]), limits).box == 2
    few = raw(anchors=10)
    assert (
        compare_outputs("x", few, (np.concatenate([few[0][:, :1] + 5, few[0][:, 1:]], axis=1), few[1]), limits).box == 5
    )


@pytest.mark.parametrize("where", [0, 1])
def test_nan_never_passes(where: int) -> None:
    expected = raw()
    actual = expected[0].copy(), expected[1].copy()
    actual[where].reshape(-1)[0] = np.nan
    assert not compare_outputs("x", expected, actual, Limits(1e9, 1e9, 0.0)).passed


def test_another_shape_never_passes() -> None:
    assert not compare_outputs("x", raw(), raw(38), Limits(1e9, 1e9, 0.0)).passed


def test_the_detector_runs_image_by_image() -> None:
    boxes, scores = raw()
    seen: list[int] = []

    def detector(pixels: np.ndarray) -> RawOutputs:  # type: ignore[type-arg]
        seen.append(len(pixels))
        return boxes, scores

    reference = Reference(
        np.zeros((3, 4, 4, 3), np.uint8), boxes.repeat(3, axis=0), scores.repeat(3, axis=0), "someone"
    )
    assert check_accuracy("x", detector, reference, LIMITS_ALL).objects == 60
    assert seen == [1, 1, 1]


def test_failures_are_named_with_values_and_limits() -> None:
    good = compare_outputs("good", raw(), raw(), LIMITS_ALL)
    bad = compare_outputs("bad", raw(), (raw()[0] + 2, raw()[1]), LIMITS_ALL)
    require_passed([good])
    with pytest.raises(
        CheckFailedError, match=r"was deleted: bad: box 2 px \(limit 1\), score 0 \(limit 0.1\)"
    ) as said:
        require_passed([good, bad])
    assert "good" not in str(said.value)
    with pytest.raises(CheckFailedError, match=r"^differs too much from .*, and should not be served: bad"):
        require_passed([bad], "should not be served")
    table = accuracy_table([good, bad]).text().splitlines()
    assert table[2].split() == [
        "bad",
        "2.0000",
        "1",
        "0.00000",
        "0.1",
        "100.0%",
        "90%",
        "20",
        "over",
        "0.5",
        "40",
        "FAILED",
    ]
    assert "FAILED" not in table[1]


def test_every_precision_has_limits_and_lower_ones_are_wider() -> None:
    assert list(LIMITS) == list(Precision)
    order = [LIMITS[p] for p in (Precision.FP32, Precision.FP16, Precision.BF16, Precision.INT8)]
    for tight, wide in itertools.pairwise(order):
        assert tight.box <= wide.box
        assert tight.score <= wide.score
        assert tight.matched >= wide.matched


def test_targets_and_precisions() -> None:
    assert applicable(Target.OPENVINO, []) == [Precision.FP32, Precision.BF16, Precision.INT8]
    assert applicable(Target.TENSORRT, [Precision.FP16]) == [Precision.FP16]
    assert applicable(Target.TENSORRT, [Precision.INT8]) == []
