"""Labels, metrics and their report, without a server; tests/e2e/benchmarks/test_eval.py has one."""

import json

import cv2
import numpy as np
import pytest

from benchmarks.evaluation.classes import align
from benchmarks.evaluation.datasets import Dataset, Labels, Sample, read_dataset
from benchmarks.evaluation.errors import EvaluationError
from benchmarks.evaluation.metrics import evaluate, outside
from benchmarks.evaluation.report import as_dict, markdown, plot_curves
from sod.detections import Detections

NAMES = ("pedestrian", "car")


def write_image(path, height=100, width=200):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), 90, np.uint8))


def labels(boxes, class_ids, ignored=()):
    return Labels(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(class_ids, np.int32),
        np.array(ignored, np.float32).reshape(-1, 4),
    )


def dataset(*all_labels, names=None) -> Dataset:
    return Dataset(tuple(Sample(None, 640, 480, one) for one in all_labels), names)  # type: ignore[arg-type]


def found(boxes, scores, class_ids) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(class_ids, np.int32)
    )


class TestYolo:
    def test_shares_become_pixels(self, tmp_path):
        write_image(tmp_path / "images/a.jpg")
        write_image(tmp_path / "images/empty.png")
        (tmp_path / "labels").mkdir()
        (tmp_path / "labels/a.txt").write_text("1 0.5 0.5 0.1 0.2\n\n0 0.25 0.5 0.5 1\n")
        read = read_dataset(tmp_path)
        assert [sample.image.name for sample in read.samples] == ["a.jpg", "empty.png"]
        np.testing.assert_allclose(read.samples[0].labels.boxes, [[90, 40, 110, 60], [0, 0, 100, 100]], atol=1e-4)
        assert read.samples[0].labels.class_ids.tolist() == [1, 0]
        assert len(read.samples[1].labels.boxes) == 0

    @pytest.mark.parametrize("line", ["1 0.5 0.5 0.1", "car 0.5 0.5 0.1 0.1", "1,0.5"])
    def test_a_bad_line_is_named(self, tmp_path, line):
        write_image(tmp_path / "a.jpg")
        (tmp_path / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n" + line)
        with pytest.raises(EvaluationError, match=r"a\.txt:2 is .* but 5 numbers are required"):
            read_dataset(tmp_path, "yolo")


class TestVisDrone:
    def test_ignored_regions_and_others_are_told_apart(self, tmp_path):
        write_image(tmp_path / "images/a.jpg")
        (tmp_path / "annotations").mkdir()
        rows = [
            "10,20,30,40,1,1,0,0",
            "50,60,10,10,0,4,0,0",
            "0,0,20,20,1,0,0,0",
            "5,5,5,5,1,11,0,0,",
            "1,2,3,4,1,4,0,2",
        ]
        (tmp_path / "annotations/a.txt").write_text("\n".join(rows))
        read = read_dataset(tmp_path).samples[0].labels
        assert read.boxes.tolist() == [[10, 20, 40, 60], [1, 2, 4, 6]]
        assert read.class_ids.tolist() == [0, 3]
        assert read.ignored.tolist() == [[50, 60, 60, 70], [0, 0, 20, 20], [5, 5, 10, 10]]

    def test_the_real_image(self, shared):
        read = read_dataset(shared / "data/real")
        assert len(read.samples) == 1
        assert read.samples[0].width, read.samples[0].height == (1360, 765)
        assert len(read.samples[0].labels.boxes) > 90


class TestCoco:
    def write(self, tmp_path, **changes):
        write_image(tmp_path / "images/a.jpg")
        document = {
            "images": [{"id": 7, "file_name": "a.jpg"}],
            "categories": [{"id": 5, "name": "Car"}, {"id": 2, "name": "pedestrian"}],
            "annotations": [
                {"id": 1, "image_id": 7, "category_id": 5, "bbox": [10, 20, 30, 40]},
                {"id": 2, "image_id": 7, "category_id": 2, "bbox": [0, 0, 5, 5], "iscrowd": 1},
            ],
            **changes,
        }
        (tmp_path / "annotations").mkdir(exist_ok=True)
        path = tmp_path / "annotations/val.json"
        path.write_text(json.dumps(document))
        return path

    def test_categories_go_by_name(self, tmp_path):
        read = align(read_dataset(self.write(tmp_path)), ("pedestrian", "people", "car"))
        assert read.samples[0].labels.boxes.tolist() == [[10, 20, 40, 60]]
        assert read.samples[0].labels.class_ids.tolist() == [2]
        assert read.samples[0].labels.ignored.tolist() == [[0, 0, 5, 5]]

    def test_a_class_that_the_model_does_not_have_is_named(self, tmp_path):
        with pytest.raises(EvaluationError, match="classes that the model does not have: Car; it has pedestrian, dog"):
            align(read_dataset(self.write(tmp_path)), ("pedestrian", "dog"))

    def test_visdrones_motor_is_the_models_motorcycle(self, tmp_path):
        path = self.write(tmp_path, categories=[{"id": 5, "name": "motor"}, {"id": 2, "name": "pedestrian"}])
        assert align(read_dataset(path), ("pedestrian", "motorcycle")).samples[0].labels.class_ids.tolist() == [1]

    @pytest.mark.parametrize(
        "text", ["{", "[]", '{"images": []}', '{"images": [{}], "categories": [], "annotations": []}']
    )
    def test_another_json_is_refused(self, tmp_path, text):
        path = tmp_path / "a.json"
        path.write_text(text)
        with pytest.raises(EvaluationError, match="is not a COCO json file with boxes"):
            read_dataset(path)

    def test_a_missing_image_is_named(self, tmp_path):
        path = self.write(tmp_path)
        (tmp_path / "images/a.jpg").unlink()
        with pytest.raises(EvaluationError, match=r"a\.jpg has labels but cannot be read"):
            read_dataset(path)


def test_nothing_to_measure_against_is_refused(tmp_path):
    write_image(tmp_path / "a.jpg")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(EvaluationError, match="contains no labelled object"):
        read_dataset(tmp_path)
    with pytest.raises(EvaluationError, match="does not exist"):
        read_dataset(tmp_path / "absent")


def test_a_class_beyond_the_models_is_refused():
    with pytest.raises(
        EvaluationError, match="the labels use class 7, but the model has classes 0 to 1: pedestrian, car"
    ):
        align(dataset(labels([[0, 0, 5, 5]], [7])), NAMES)


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
        assert as_dict(figures)["classes"][0]["ap"] is None  # type: ignore[index]

    def test_nothing_found_is_zero(self):
        figures = evaluate(dataset(labels(BOXES, [1, 1, 1])), [Detections.empty()], NAMES)
        assert figures.ap == 0

    def test_detections_in_ignored_regions_count_neither_way(self):
        truth = dataset(labels(BOXES[:1], [0], ignored=[[90, 90, 200, 200]]))
        false_alarm = found([BOXES[1], BOXES[0]], [0.99, 0.5], [0, 0])
        assert [evaluate(truth, [false_alarm], NAMES).classes[0].ap] == ONE
        assert evaluate(dataset(labels(BOXES[:1], [0])), [false_alarm], NAMES).classes[0].ap == pytest.approx(0.5)

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
        assert lines[-1] == "| car | 3 | 100.00 | 100.00 | 33.66 | 33.66 |"
        assert lines[-2] == "| pedestrian | 0 | n/a | n/a | n/a | n/a |"

    def test_one_run_has_none(self, runs):
        assert "difference" not in markdown(runs[:1], "mine")
        assert "Official" not in markdown(runs[:1], "mine")

    def test_curves_are_drawn(self, runs, tmp_path):
        plot_curves(runs, tmp_path / "pr.png")
        height, width = cv2.imread(str(tmp_path / "pr.png")).shape[:2]
        assert width > 200
        assert height > 200
