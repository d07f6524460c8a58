"""Unoccluded objects of a VisDrone label file, and how many of them are detected."""

import numpy as np
import pytest

from finetune.errors import FinetuneError
from finetune.unoccluded_recall import count_detected, unoccluded_boxes


def test_only_unoccluded_objects_of_the_class_are_read() -> None:
    text = "10,20,30,40,1,4,0,0\n1,1,5,5,1,4,0,1\n2,2,6,6,1,1,0,0,\n"
    np.testing.assert_array_equal(unoccluded_boxes(text, "car"), [[10, 20, 40, 60]])
    with pytest.raises(FinetuneError, match="VisDrone"):
        unoccluded_boxes("0 0.5 0.5 0.1 0.1\n", "car")


def test_a_detection_matches_one_object() -> None:
    ground_truth = np.array([[0, 0, 10, 10], [2, 0, 12, 10], [50, 50, 60, 60]], np.float32)
    boxes = np.array([[1, 0, 11, 10], [50, 50, 58, 58], [80, 80, 90, 90]], np.float32)
    scores = np.array([0.9, 0.5, 0.4], np.float32)
    assert count_detected(ground_truth, boxes, scores) == 2
    assert count_detected(ground_truth, boxes[2:], scores[2:]) == 0
