import numpy as np
import pytest

from sod.detections import Detections

SCORES = [0.9, 0.6, 0.5, 0.7, 0.6]
CLASS_IDS = [0, 0, 0, 3, 4]
DETECTIONS = Detections(
    np.arange(20, dtype=np.float32).reshape(5, 4), np.array(SCORES, np.float32), np.array(CLASS_IDS, np.int32)
)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, [0]), (2, [0, 3]), (3, [0, 1, 3]), (4, [0, 1, 3, 4]), (5, [0, 1, 2, 3, 4]), (10**30, [0, 1, 2, 3, 4])],
)
def test_the_best_keep_their_order(count: int, expected: list[int]) -> None:
    best = DETECTIONS.best(count)
    assert best.scores.tolist() == DETECTIONS.scores[expected].tolist()
    assert best.class_ids.tolist() == [CLASS_IDS[i] for i in expected]
    assert best.boxes.tolist() == DETECTIONS.boxes[expected].tolist()


def test_boxes_without_an_area_are_left_out() -> None:
    boxes = [[0, 0, 5, 5], [5, 0, 0, 5], [0, 5, 5, 0], [3, 0, 3, 5], [0, 3, 5, 3], [9, 9, 9.5, 9.5]]
    found = Detections(
        np.array(boxes, np.float32), np.linspace(0.9, 0.4, 6, dtype=np.float32), np.arange(6, dtype=np.int32)
    )
    kept = found.with_area()
    assert kept.class_ids.tolist() == [0, 5]
    assert kept.boxes.tolist() == [boxes[0], boxes[5]]
    assert kept.scores.tolist() == found.scores[[0, 5]].tolist()
    assert len(Detections.empty().with_area()) == 0


def test_the_best_of_an_empty_result() -> None:
    assert len(Detections.empty().best(3)) == 0
