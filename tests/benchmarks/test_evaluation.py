"""Labels, metrics and their report, without a server; tests/e2e/benchmarks/test_eval.py has one."""

import json
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.evaluation import served
from benchmarks.evaluation.classes import align, match
from benchmarks.evaluation.cli import main
from benchmarks.evaluation.confusion import confusion_matrix
from benchmarks.evaluation.datasets import read_dataset
from benchmarks.evaluation.errors import EvaluationError
from benchmarks.evaluation.metrics import ModelClasses, evaluate, outside
from benchmarks.evaluation.plots import plot_precision
from benchmarks.evaluation.report import as_dict, markdown
from sod.datasets.dataset import Dataset, LabelledImage
from sod.detections import Detections

NAMES = ("pedestrian", "car")
MODEL = ("pedestrian", "car", "awning-tricycle", "motorcycle")


def write_image(path, height=100, width=200):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), 90, np.uint8))


def labels(boxes, class_ids, ignored=(), unlabelled=()):
    return LabelledImage(
        Path("a.jpg"),
        640,
        480,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(class_ids, np.int64),
        np.array(ignored, np.float32).reshape(-1, 4),
        frozenset(unlabelled),
    )


def dataset(*images, names=None) -> Dataset:
    return Dataset(images, names)


def found(boxes, scores, class_ids) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(class_ids, np.int32)
    )


class TestReading:
    @pytest.fixture
    def data(self, tmp_path):
        write_image(tmp_path / "images/val/a.jpg")
        (tmp_path / "labels/val").mkdir(parents=True)
        (tmp_path / "data.yaml").write_text("val: images/val\nnames: [van, car]\n")
        return tmp_path

    def test_findings_are_printed_and_warnings_do_not_stop(self, data, capsys):
        (data / "labels/val/a.txt").write_text("0 0.5 0.5 0.1 0.2\n1 0.5 0.5 0 0.2\n")
        read = read_dataset(data)
        assert read.class_names == ("van", "car")
        assert read.images[0].class_ids.tolist() == [0]
        assert "warning: box without an area, left out, 1 time:" in capsys.readouterr().err

    def test_errors_stop(self, data, capsys):
        (data / "labels/val/a.txt").write_text("0 0.5 0.5 0.1 0.2\n1 0.5 0.5 0.1\n")
        with pytest.raises(EvaluationError, match="has 1 error: correct them"):
            read_dataset(data)
        assert "labels/val/a.txt:2: '1 0.5 0.5 0.1'" in capsys.readouterr().err

    def test_nothing_to_measure_against_is_refused(self, data):
        (data / "labels/val/a.txt").write_text("")
        with pytest.raises(EvaluationError, match="contains no labelled object"):
            read_dataset(data)
        with pytest.raises(EvaluationError, match="does not exist"):
            read_dataset(data / "absent")


class TestClasses:
    def test_names_are_matched(self):
        read = align(dataset(labels(BOXES, [0, 1, 2]), names=("Car", "motor", "awning_tricycle")), MODEL)
        assert read.images[0].class_ids.tolist() == [1, 3, 2]

    def test_a_class_that_the_model_does_not_have_is_named(self):
        with pytest.raises(EvaluationError, match="classes that the model does not have: dog; it has pedestrian, car"):
            align(dataset(labels(BOXES, [0, 1, 0]), names=("car", "dog")), MODEL)

    def test_a_class_that_no_label_uses_may_be_missing(self):
        read = align(dataset(labels(BOXES, [0, 0, 0]), names=("car", "dog")), MODEL)
        assert read.images[0].class_ids.tolist() == [1, 1, 1]

    def test_a_class_beyond_the_models_is_refused(self):
        with pytest.raises(
            EvaluationError, match="the labels use class 7, but the model has classes 0 to 1: pedestrian, car"
        ):
            align(dataset(labels([[0, 0, 5, 5]], [7])), NAMES)

    def test_two_models_with_other_classes(self):
        data = dataset(labels(BOXES, [0, 1, 1]), names=("van", "car"))
        matched = match(data, [("pedestrian", "car"), ("car", "Van")])
        assert matched.names == ("pedestrian", "car", "Van")
        assert matched.dataset.images[0].class_ids.tolist() == [2, 1, 1]
        assert [mapping.tolist() for mapping in matched.mappings] == [[0, 1], [1, 2]]
        assert matched.counted.tolist() == [False, True, False]
        assert matched.only_one_has(["old", "new"]) == [
            "Only old has pedestrian (0 labelled): not in the means above.",
            "Only new has Van (1 labelled): not in the means above.",
        ]

    def test_ids_without_names_are_the_first_models(self):
        matched = match(dataset(labels(BOXES, [1, 1, 1])), [("pedestrian", "car"), ("car", "pedestrian")])
        assert matched.dataset.images[0].class_ids.tolist() == [1, 1, 1]
        assert matched.mappings[1].tolist() == [1, 0]

    def test_models_without_a_labelled_class_in_common_are_refused(self):
        data = dataset(labels(BOXES, [0, 1, 1]), names=("van", "car"))
        with pytest.raises(EvaluationError, match="no labelled class in common"):
            match(data, [("car",), ("van",)])


ONE = [pytest.approx(1)]
BOXES = [[10, 10, 30, 30], [100, 100, 180, 160], [300, 300, 420, 420]]


class TestFigures:
    def test_perfect_detections_are_all_of_it(self):
        figures = evaluate(dataset(labels(BOXES, [0, 1, 1])), [found(BOXES, [0.9, 0.8, 0.7], [0, 1, 1])], NAMES)
        assert [figures.ap, figures.ap50, figures.ap_small, figures.ap_medium, figures.ap_large] == ONE * 5
        assert [one.labelled for one in figures.classes] == [1, 2]

    def test_half_of_them_found(self):
        # 101 recall points, of which 0 to 0.5 are reached with precision 1.
        figures = evaluate(dataset(labels(BOXES, [1, 1, 0])), [found(BOXES[:1], [0.9], [1])], NAMES)
        assert figures.classes[1].ap == pytest.approx(51 / 101)
        assert figures.classes[0].ap == 0

    def test_a_shifted_box_passes_only_the_lower_thresholds(self):
        box = [0, 0, 100, 100]
        shifted = [0, 0, 100, 72]  # IoU 0.72: of 0.5, 0.55, … 0.95 five pass
        figures = evaluate(dataset(labels([box], [0])), [found([shifted], [0.9], [0])], NAMES)
        assert [figures.ap50] == ONE
        assert figures.ap == pytest.approx(0.5)
        assert figures.ap75 == 0

    def test_classes_that_nobody_labelled_do_not_count(self):
        figures = evaluate(dataset(labels(BOXES, [1, 1, 1])), [found(BOXES, [0.9] * 3, [1, 1, 1])], NAMES)
        assert [figures.ap] == ONE
        assert np.isnan(figures.classes[0].ap)
        matrix = confusion_matrix(dataset(labels(BOXES, [1, 1, 1])), [Detections.empty()], NAMES)
        assert as_dict(figures, matrix)["classes"][0]["ap"] is None  # type: ignore[index]

    def test_nothing_found_is_zero(self):
        figures = evaluate(dataset(labels(BOXES, [1, 1, 1])), [Detections.empty()], NAMES)
        assert figures.ap == 0

    def test_detections_in_ignored_regions_count_neither_way(self):
        truth = dataset(labels(BOXES[:1], [0], ignored=[[90, 90, 200, 200]]))
        false_alarm = found([BOXES[1], BOXES[0]], [0.99, 0.5], [0, 0])
        assert [evaluate(truth, [false_alarm], NAMES).classes[0].ap] == ONE
        assert evaluate(dataset(labels(BOXES[:1], [0])), [false_alarm], NAMES).classes[0].ap == pytest.approx(0.5)

    def test_a_class_that_an_image_leaves_unlabelled_counts_neither_way(self):
        truth = dataset(labels(BOXES[:1], [0], unlabelled=[1]))
        figures = evaluate(truth, [found(BOXES, [0.5, 0.9, 0.9], [0, 1, 1])], NAMES)
        assert [figures.ap] == ONE

    def test_only_the_common_classes_are_in_the_means(self):
        has = ModelClasses(np.array([False, True]), np.array([False, True]))
        figures = evaluate(dataset(labels(BOXES, [0, 1, 1])), [found(BOXES[1:], [0.9, 0.8], [1, 1])], NAMES, 100, has)
        assert [figures.ap, figures.ar] == ONE * 2
        assert np.isnan(figures.classes[0].ap)
        assert figures.classes[0].labelled == 1

    def test_more_detections_than_count(self):
        boxes = [[i * 5, 0, i * 5 + 4, 4] for i in range(120)]
        truth = dataset(labels(boxes, [0] * 120))
        all_found = [found(boxes, np.linspace(0.9, 0.1, 120), [0] * 120)]
        assert evaluate(truth, all_found, NAMES).classes[0].ap < 0.9
        assert [evaluate(truth, all_found, NAMES, max_detections=500).classes[0].ap] == ONE


def test_a_box_half_in_an_ignored_region_stays():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 20], [0, 0, 10, 21]], np.float32)
    assert outside(boxes, np.array([[0, 0, 100, 10]], np.float32)).tolist() == [False, True, True]
    assert outside(boxes, np.zeros((0, 4), np.float32)).all()
    assert outside(boxes[:0], boxes).shape == (0,)


class TestAgainstAModelWithOtherClasses:
    """Two models on a server that is not there: what they detect is given."""

    @pytest.fixture
    def data(self, tmp_path, monkeypatch):
        write_image(tmp_path / "images/a.png", 480, 640)
        shares = [
            [(x1 + x2) / 2 / 640, (y1 + y2) / 2 / 480, (x2 - x1) / 640, (y2 - y1) / 480] for x1, y1, x2, y2 in BOXES
        ]
        (tmp_path / "labels").mkdir()
        lines = [f"{i} " + " ".join(map(str, share)) for i, share in enumerate(shares)]
        (tmp_path / "labels/a.txt").write_text("\n".join(lines))
        (tmp_path / "data.yaml").write_text("train: images\nval: images\nnames: [Pedestrian, Car, Bus]\n")
        models = {"old": served.Model("old", ("pedestrian", "car")), "new": served.Model("new", ("car", "bus"))}
        detections = {"old": found(BOXES[:2], [0.9, 0.8], [0, 1]), "new": found(BOXES[1:], [0.9, 0.8], [0, 1])}
        monkeypatch.setattr(served, "find_model", lambda _, name: models[name or "old"])
        client = contextmanager(lambda _, model: iter([lambda _: detections[model.name]]))
        monkeypatch.setattr(served, "through_triton", client)
        return tmp_path

    def test_classes_are_matched_by_name(self, data, capsys):
        out = data / "out.json"
        assert main([str(data), "--against", "new", "--json", str(out), "--plot", str(data / "pr.png")]) == 0
        printed = capsys.readouterr().out
        assert "|  | old | new | difference |" in printed
        assert "| AP | 100.00 | 100.00 | +0.00 |" in printed  # of the car, which both have
        assert "| pedestrian | 1 | 100.00 | 100.00 | n/a | n/a |" in printed
        assert "| car | 1 | 100.00 | 100.00 | 100.00 | 100.00 |" in printed
        assert "| bus | 1 | n/a | n/a | 100.00 | 100.00 |" in printed
        assert "Only old has pedestrian (1 labelled): not in the means above." in printed
        assert "Only new has bus (1 labelled): not in the means above." in printed
        document = json.loads(out.read_text())
        assert [[one["name"] for one in run["classes"]] for run in document["runs"].values()] == [
            ["pedestrian", "car", "bus"]
        ] * 2
        assert len(document["notes"]) == 2

    def test_the_panels_have_the_names_of_their_classes(self, data, monkeypatch):
        drawn = []
        monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, *_, **__: drawn.append(figure))
        assert main([str(data), "--against", "new", "--plot", str(data / "pr.png")]) == 0
        assert len(drawn) == 3  # precision over recall, F1 over the score, the confusion matrix
        panels = [axis for axis in drawn[0].axes if axis.get_visible()]
        assert [axis.get_title() for axis in panels] == ["pedestrian (1)", "car (1)", "bus (1)"]
        assert [[text.get_text() for text in axis.get_legend().get_texts()] for axis in panels] == [
            ["old: 100.00", "new: no such class"],
            ["old: 100.00", "new: 100.00"],
            ["old: no such class", "new: 100.00"],
        ]

    def test_a_single_model_must_have_every_labelled_class(self, data, capsys):
        assert main([str(data)]) == 1
        assert "classes that the model does not have: Bus; it has pedestrian, car" in capsys.readouterr().err


class TestReport:
    @pytest.fixture
    def runs(self):
        truth = dataset(labels(BOXES, [1, 1, 1]))
        good = evaluate(truth, [found(BOXES, [0.9] * 3, [1, 1, 1])], NAMES)
        worse = evaluate(truth, [found(BOXES[:1], [0.9], [1])], NAMES)
        return [("cpu_regular", good), ("cpu_bf16", worse)]

    def test_two_runs_have_a_difference(self, runs):
        lines = markdown(runs, "PP-YOLOE_plus_SOD-L").splitlines()
        assert lines[0] == "|  | cpu_regular | cpu_bf16 | difference |"
        assert lines[2] == "| AP | 100.00 | 33.66 | -66.34 |"
        assert "Official weights of PP-YOLOE_plus_SOD-L have AP 31.9 on VisDrone val" in "\n".join(lines)
        assert "| car | 3 | 100.00 | 100.00 | 33.66 | 33.66 |" in lines
        assert "| pedestrian | 0 | n/a | n/a | n/a | n/a |" in lines
        assert lines[-2:] == [
            "cpu_regular: mean F1 at IoU 0.5 is highest at the score threshold 0.00: 100.00.",
            "cpu_bf16: mean F1 at IoU 0.5 is highest at the score threshold 0.00: 50.00.",
        ]

    def test_one_run_has_none(self, runs):
        assert "difference" not in markdown(runs[:1], "mine")
        assert "Official" not in markdown(runs[:1], "mine")

    def test_curves_are_drawn(self, runs, tmp_path):
        plot_precision(runs, tmp_path / "pr.png")
        height, width = cv2.imread(str(tmp_path / "pr.png")).shape[:2]
        assert width > 200
        assert height > 200
