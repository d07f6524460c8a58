"""Data sets in both formats, and the findings about what is wrong with them."""

import numpy as np
import pytest

from finetune.data.reader import read_dataset
from sod.datasets.errors import DatasetError
from sod.datasets.findings import Findings
from tests.finetune.data.datasets import read_and_check, write_coco, write_image, write_yolo


def test_yolo_is_read_in_pixels(tmp_path):
    write_yolo(tmp_path, {"a": "1 0.5 0.5 0.2 0.4\n"})
    data, findings, text = read_and_check(write_yolo(tmp_path, {"b": "0 0.5 0.5 0.2 0.4\n"}, "val"))
    assert data.names == ("car", "van")
    np.testing.assert_allclose(data.train[0].boxes, [[80, 30, 120, 70]])
    assert data.train[0].class_ids.tolist() == [1]
    assert data.validation[0].class_ids.tolist() == [0]
    assert findings.errors == 0
    assert "class without a label: it will not be detected, 1 time: car" in text


def test_coco_is_read_by_category(tmp_path):
    data, findings, _ = read_and_check(write_coco(tmp_path))
    assert data.names == ("car", "van")
    np.testing.assert_allclose(data.train[0].boxes, [[10, 20, 40, 60]])
    assert [p.class_ids.tolist() for p in data.train] == [[1], [0]]
    assert findings.errors == 0


def test_without_a_validation_split_the_last_tenth_becomes_one(tmp_path):
    write_yolo(tmp_path, {f"{i:02d}": "0 0.5 0.5 0.2 0.4\n" for i in range(20)})
    data, _, text = read_and_check(tmp_path)
    assert [p.image.stem for p in data.validation] == ["18", "19"]
    assert len(data.train) == 18
    assert "the last 2 of 20 images" in text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.2\n", "error: line that is not “class x y w h”"),
        ("0 0.5 0.5 0.2 wide\n", "error: line that is not “class x y w h”"),
        ("0.5 0.5 0.5 0.2 0.2\n", "error: line that is not “class x y w h”"),
        ("2 0.5 0.5 0.2 0.2\n", "error: unknown class"),
        ("-1 0.5 0.5 0.2 0.2\n", "error: unknown class"),
        ("0 1.5 0.5 0.2 0.2\n", "error: box outside its image"),
        ("0 nan 0.5 0.2 0.2\n", "error: box with a coordinate that is not a number"),
        ("0 0.95 0.5 0.2 0.2\n", "warning: box that exceeds its image, clipped"),
        ("0 0.5 0.5 0.0 0.2\n", "warning: box without an area, left out"),
    ],
)
def test_a_wrong_line_is_reported_with_its_place(tmp_path, line, message):
    write_yolo(tmp_path, {"good": "0 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.2 0.2\n", "bad": line})
    data, findings, text = read_and_check(write_yolo(tmp_path, {"other": "0 0.5 0.5 0.2 0.2\n"}, "val"))
    assert message in text
    assert "bad" in text
    assert bool(findings.errors) == message.startswith("error")
    assert all((p.boxes >= 0).all() and (p.boxes <= [200, 100, 200, 100]).all() for p in data.train)


def test_missing_and_broken_images_are_reported(tmp_path):
    folder = write_coco(tmp_path)
    (folder / "images" / "a.png").unlink()
    (folder / "images" / "b.png").write_bytes(b"no image")
    _, findings, text = read_and_check(folder)
    assert "error: missing image, 2 times" in text
    assert "error: image that cannot be read, 2 times" in text
    assert "no object in the training images" in text
    assert findings.errors == 6


def test_labels_without_an_image_are_reported(tmp_path):
    write_yolo(tmp_path, {"a": "0 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.2 0.2\n"})
    (tmp_path / "labels/train/gone.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    write_image(tmp_path / "images/train/bare.png")
    _, findings, text = read_and_check(write_yolo(tmp_path, {"b": "0 0.5 0.5 0.2 0.4\n"}, "val"))
    assert "error: label of no image, 1 time" in text
    assert "gone.txt" in text
    assert "warning: image without a label file, taken to hold no object, 1 time" in text
    assert findings.errors == 1


def test_coco_labels_without_an_image_or_class_are_reported(tmp_path):
    wrong = [
        {"image_id": 9, "category_id": 7, "bbox": [0, 0, 9, 9]},
        {"image_id": 1, "category_id": 8, "bbox": [0] * 4},
    ]
    right = {"image_id": 1, "category_id": 7, "bbox": [0, 0, 9, 9]}
    _, findings, text = read_and_check(write_coco(tmp_path, annotations=[*wrong, right]))
    assert "instances_train.json: annotation of image 9: image_id 9" in text
    assert "category_id 8" in text
    assert findings.errors == 4


class TestUnlabelledClasses:
    def test_of_an_image(self, tmp_path):
        images = [
            {"id": 1, "file_name": "a.png", "not_exhaustive_category_ids": [3]}, {"id": 2, "file_name": "b.png"}
        ]  # fmt: skip
        data, findings, _ = read_and_check(write_coco(tmp_path, images=images))
        assert [p.unlabelled for p in data.train] == [{0}, set()]
        assert findings.errors == 0

    def test_of_a_data_set(self, tmp_path):
        write_yolo(tmp_path, {"a": "0 0.5 0.5 0.2 0.2\n"})
        yaml = "names: [car, van]\nunlabelled: [van]\n"
        data, findings, text = read_and_check(write_yolo(tmp_path, {"b": "0 0.5 0.5 0.2 0.4\n"}, "val", yaml))
        assert data.train[0].unlabelled == {1}
        assert findings.errors == 0
        assert "class without a label, marked as unlabelled" in text

    def test_of_an_unknown_class(self, tmp_path):
        images = [{"id": 1, "file_name": "a.png", "not_exhaustive_category_ids": [5]}, {"id": 2, "file_name": "b.png"}]
        _, findings, text = read_and_check(write_coco(tmp_path, images=images))
        assert "unknown class marked as unlabelled" in text
        assert findings.errors == 2

    def test_that_the_labels_contradict(self, tmp_path):
        write_yolo(tmp_path, {"a": "1 0.5 0.5 0.2 0.2\n0 0.2 0.2 0.1 0.1"})
        yaml = "names: [car, van]\nunlabelled: [van]\n"
        _, _, text = read_and_check(write_yolo(tmp_path, {"b": "0 0.5 0.5 0.2 0.4\n"}, "val", yaml))
        assert "marked as unlabelled in every image" in text


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no labelled images: docs/datasets.md shows the layouts"),
        ({"a.json": "{}"}, "not a COCO JSON file with boxes"),
        ({"a.json": "{", "b_val.json": "{"}, "not a COCO JSON file"),
        ({"a.json": "{}", "b.json": "{}"}, "any of them may hold the boxes of the data set"),
        ({"data.yaml": "names: ["}, "is not valid YAML"),
        ({"data.yaml": "- car"}, "must be a mapping with the keys names"),
        ({"data.yaml": "names: [car]\ntrain: nowhere"}, "there is no folder or file"),
    ],
)
def test_a_folder_without_a_data_set_is_refused(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_dataset(tmp_path, Findings())


def test_too_few_images_for_a_validation_split_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="too few to set some aside"):
        read_dataset(write_yolo(tmp_path, {"a": "0 0.5 0.5 0.2 0.2\n"}), Findings())
