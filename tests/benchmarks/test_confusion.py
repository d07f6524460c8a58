"""The confusion matrix and the F1 curves of `sod eval`, and their images."""

import cv2
import numpy as np
import pytest

from benchmarks.evaluation.confusion import confusion_matrix
from benchmarks.evaluation.metrics import evaluate
from benchmarks.evaluation.plots import plot_confusion, plot_f1
from benchmarks.evaluation.report import as_dict, confusion_markdown
from tests.benchmarks.test_evaluation import BOXES, NAMES, dataset, found, labels

CAR = BOXES[1]
NEAR = [100, 100, 180, 155]  # IoU 0.92 with it
AWAY = [400, 0, 440, 40]


def matrix(truth, detections, **options):
    return confusion_matrix(dataset(truth), [detections], NAMES, **options)


class TestConfusionMatrix:
    def test_classes_and_background(self):
        detections = found([BOXES[0], CAR, AWAY], [0.9, 0.8, 0.7], [1, 1, 0])
        # A pedestrian is taken for a car, a car is found, another is not, and a pedestrian is made up.
        counted = matrix(labels(BOXES, [0, 1, 1]), detections)
        assert counted.counts.tolist() == [[0, 1, 0], [0, 1, 1], [1, 0, 0]]
        assert counted.shares.tolist() == [[0, 1, 0], [0, 0.5, 0.5], [1, 0, 0]]

    def test_the_pair_with_the_larger_iou_matches(self):
        detections = found([NEAR, CAR], [0.9, 0.3], [0, 1])
        assert matrix(labels([CAR], [1]), detections).counts.tolist() == [[0, 0, 0], [0, 1, 0], [1, 0, 0]]

    def test_the_thresholds(self):
        detections = found([CAR, NEAR], [0.25, 0.2], [1, 1])
        assert matrix(labels([CAR], [1]), detections).counts.tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
        none = matrix(labels([CAR], [1]), detections, min_score=0.3)
        assert none.counts.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]
        strict = matrix(labels([CAR], [1]), found([NEAR], [0.9], [1]), min_iou=0.95)
        assert strict.counts.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0]]

    def test_what_is_not_labelled_is_no_mistake(self):
        detections = found([CAR, AWAY], [0.9, 0.8], [1, 0])
        right = [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
        assert matrix(labels([CAR], [1], ignored=[AWAY]), detections).counts.tolist() == right
        assert matrix(labels([CAR], [1], unlabelled=[0]), detections).counts.tolist() == right
        known = np.array([False, True])
        assert matrix(labels([CAR], [1]), detections, labelled_classes=known).counts.tolist() == right
        # A label that is taken for a class which the labels do not have is a mistake all the same.
        wrong = matrix(labels([CAR], [1]), found([CAR], [0.9], [0]), labelled_classes=known)
        assert wrong.counts.tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 0]]

    def test_empty_images(self):
        nothing = found([], [], [])
        assert matrix(labels([], []), nothing).counts.sum() == 0
        assert not np.isnan(matrix(labels([], []), nothing).shares).any()
        assert matrix(labels(BOXES, [0, 1, 1]), nothing).counts.tolist() == [[0, 0, 1], [0, 0, 2], [0, 0, 0]]

    def test_the_table_names_what_occurs(self):
        counted = matrix(labels([CAR, AWAY], [1, 1]), found([CAR], [0.9], [1]))
        assert confusion_markdown("S", counted).splitlines() == [
            "S: what is detected (columns) where a class is labelled (rows), at a score of at least 0.25 and IoU over "
            "0.45:",
            "",
            "| labelled | car | background |",
            "| --- | ---: | ---: |",
            "| car | 1 | 1 |",
            "| background | 0 | 0 |",
        ]


class TestF1:
    def test_by_score_threshold(self):
        detections = found([CAR, AWAY, BOXES[2]], [0.9, 0.6, 0.3], [1, 1, 1])
        figures = evaluate(dataset(labels(BOXES[1:], [1, 1])), [detections], NAMES)
        curve = figures.classes[1].f1
        # Up to 0.3: two right, one made up; up to 0.6: one of each; up to 0.9: one right, one missed.
        assert curve[[0, 30, 31, 60, 61, 90, 91, 100]] == pytest.approx(
            [4 / 5, 4 / 5, 1 / 2, 1 / 2, 2 / 3, 2 / 3, 0, 0]
        )
        assert np.isnan(figures.classes[0].f1).all()
        assert figures.f1 == pytest.approx(curve)
        assert (figures.best_threshold, figures.best_f1) == (0, pytest.approx(0.8))

    def test_nothing_found(self):
        figures = evaluate(dataset(labels(BOXES, [0, 1, 1])), [found([], [], [])], NAMES)
        assert figures.best_f1 == 0

    def test_it_is_in_the_json(self):
        truth, detections = dataset(labels(BOXES, [0, 1, 1])), [found(BOXES, [0.9, 0.8, 0.7], [0, 1, 1])]
        document = as_dict(evaluate(truth, detections, NAMES), confusion_matrix(truth, detections, NAMES))
        assert document["f1"]["best"] == 1
        assert len(document["f1"]["mean"]) == len(document["f1"]["scores"]) == 101
        assert document["confusion"]["names"] == [*NAMES, "background"]
        assert document["confusion"]["counts"] == [[1, 0, 0], [0, 2, 0], [0, 0, 0]]


def test_they_are_drawn(tmp_path):
    truth, detections = dataset(labels(BOXES, [0, 1, 1])), [found(BOXES, [0.9, 0.8, 0.7], [0, 1, 1])]
    figures, counted = evaluate(truth, detections, NAMES), confusion_matrix(truth, detections, NAMES)
    plot_f1([("one", figures), ("other", figures)], tmp_path / "f1.png")
    plot_confusion([("one", counted), ("other", counted)], tmp_path / "confusion.png")
    for name in ("f1.png", "confusion.png"):
        drawn = cv2.imread(str(tmp_path / name))
        assert drawn.shape[0] > 200
        assert drawn.std() > 5
