"""Matching of the objects that two detectors find."""

import numpy as np
import pytest

from sod.detections import Detections
from sod.matching import box_iou, count_matches, count_shared, drop_thin, matched_share, over


def detections(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    """Of rows (x1, y1, x2, y2, score, class id)."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(table[:, :4].astype(np.float32), table[:, 4].astype(np.float32), table[:, 5].astype(np.int32))


CAR = (0, 0, 10, 10, 0.9, 0)
BUS = (100, 0, 110, 10, 0.8, 1)


def test_iou_of_every_pair() -> None:
    boxes = np.array([[0, 0, 10, 10], [20, 20, 30, 30]], np.float32)
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 25, 25]], np.float32)
    np.testing.assert_allclose(box_iou(boxes, others), [[1, 1 / 3, 0], [0, 0, 0.25]])
    assert box_iou(boxes, others).dtype == np.float64


@pytest.mark.parametrize("box", [[5, 5, 5, 9], [9, 9, 5, 5], [0, 0, 0, 0]])
def test_a_box_without_an_area_overlaps_nothing(box: list[int]) -> None:
    boxes = np.array([box], np.float32)
    assert box_iou(boxes, boxes).item() == 0
    assert box_iou(boxes, np.array([[0, 0, 10, 10]], np.float32)).item() == 0


@pytest.mark.parametrize(("m", "n"), [(0, 0), (0, 2), (2, 0)])
def test_iou_of_no_boxes_has_the_shape_of_the_pairs(m: int, n: int) -> None:
    assert box_iou(np.zeros((m, 4), np.float32), np.zeros((n, 4), np.float32)).shape == (m, n)
    assert count_matches(detections(*[CAR] * m), detections(*[CAR] * n)) == 0


def test_an_object_of_another_class_does_not_match() -> None:
    assert count_matches(detections(CAR), detections((*CAR[:5], 1))) == 0
    assert count_matches(detections(CAR), detections(CAR)) == 1


def test_the_smallest_iou_matches() -> None:
    half = (0, 0, 10, 5, 0.9, 0)  # IoU 0.5
    assert count_matches(detections(CAR), detections(half)) == 1
    assert count_matches(detections(CAR), detections(half), min_iou=0.51) == 0


def test_a_candidate_is_taken_once_and_the_best_score_chooses_first() -> None:
    low, high = (0, 0, 10, 9, 0.6, 0), (0, 0, 10, 10, 0.9, 0)
    exact, poor = (0, 0, 10, 10, 0.5, 0), (0, 0, 10, 6, 0.5, 0)
    assert count_matches(detections(low, high), detections(exact)) == 1
    # The high score takes the exact candidate; the other one suffices for the low score.
    assert count_matches(detections(low, high), detections(exact, poor)) == 2


def test_lost_and_invented_objects_count_alike() -> None:
    assert count_shared(detections(CAR, BUS), detections(CAR)) == (2, 3)
    assert count_shared(detections(CAR), detections(CAR, BUS)) == (2, 3)
    assert matched_share(detections(CAR, BUS), detections(CAR)) == pytest.approx(2 / 3)


def test_a_score_that_crosses_the_threshold_is_not_a_loss() -> None:
    above, below = (*CAR[:4], 0.52, 0), (*CAR[:4], 0.48, 0)
    assert count_shared(detections(above), detections(below), 0.5) == (1, 1)
    assert count_shared(detections(below), detections(below), 0.5) == (0, 0)


def test_two_sides_without_objects_agree() -> None:
    assert matched_share(detections(), detections()) == 1
    assert matched_share(detections(CAR), detections()) == 0


def test_thin_boxes_are_ignored() -> None:
    thin, inverted = (0, 0, 0.5, 10, 0.9, 0), (10, 10, 0, 0, 0.9, 0)
    assert len(drop_thin(detections(thin, inverted, CAR))) == 1
    assert len(drop_thin(detections())) == 0
    assert count_shared(detections(thin, CAR), detections(CAR, inverted)) == (2, 2)


def test_a_threshold_is_exceeded() -> None:
    assert over(detections(CAR, BUS), float(np.float32(0.8))).scores.tolist() == [np.float32(0.9)]
