"""Data sets in both formats, and the findings about what is wrong with them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from finetune.data import contact_sheet, dataset_checks, serialization
from finetune.data.dataset import TrainingDataset
from finetune.data.findings import Findings
from finetune.data.reader import read_dataset
from finetune.errors import FinetuneError


def image(path: Path, width: int = 200, height: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    code = cv2.imencode(".png", np.full((height, width, 3), 90, np.uint8))[1]
    path.write_bytes(code.tobytes())


def yolo(folder: Path, labels: dict[str, str], part: str = "train", yaml: str = "names: [car, van]\n") -> Path:
    (folder / "labels" / part).mkdir(parents=True, exist_ok=True)
    for name, text in labels.items():
        image(folder / "images" / part / f"{name}.png")
        (folder / "labels" / part / f"{name}.txt").write_text(text)
    (folder / "data.yaml").write_text(yaml)
    return folder


def coco(folder: Path, **changes: object) -> Path:
    document = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "annotations": [
            {"image_id": 1, "category_id": 7, "bbox": [10, 20, 30, 40]},
            {"image_id": 2, "category_id": 3, "bbox": [0, 0, 50, 50]},
        ],
        "categories": [{"id": 7, "name": "van"}, {"id": 3, "name": "car"}],
    } | changes
    for part in ("train", "val"):
        (folder / "annotations").mkdir(parents=True, exist_ok=True)
        (folder / "annotations" / f"instances_{part}.json").write_text(json.dumps(document))
    for name in ("a", "b"):
        image(folder / "images" / f"{name}.png")
    return folder


def checked(folder: Path) -> tuple[TrainingDataset, Findings, str]:
    findings = Findings()
    data = read_dataset(folder, findings)
    dataset_checks.check(data, findings)
    return data, findings, "\n".join(findings.lines())


def test_yolo_is_read_in_pixels(tmp_path):
    yolo(tmp_path, {"a": "1 0.5 0.5 0.2 0.4\n"})
    data, findings, text = checked(yolo(tmp_path, {"b": "0 0.5 0.5 0.2 0.4\n"}, "val"))
    assert data.names == ("car", "van")
    np.testing.assert_allclose(data.train[0].boxes, [[80, 30, 120, 70]])
    assert data.train[0].class_ids.tolist() == [1]
    assert data.validation[0].class_ids.tolist() == [0]
    assert findings.errors == 0
    assert "class without a label: it will not be detected, 1 times: car" in text


def test_coco_is_read_by_category(tmp_path):
    data, findings, _ = checked(coco(tmp_path))
    assert data.names == ("car", "van")
    np.testing.assert_allclose(data.train[0].boxes, [[10, 20, 40, 60]])
    assert [p.class_ids.tolist() for p in data.train] == [[1], [0]]
    assert findings.errors == 0


def test_without_a_validation_split_the_last_tenth_becomes_one(tmp_path):
    yolo(tmp_path, {f"{i:02d}": "0 0.5 0.5 0.2 0.4\n" for i in range(20)})
    data, _, text = checked(tmp_path)
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
    yolo(tmp_path, {"good": "0 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.2 0.2\n", "bad": line})
    data, findings, text = checked(yolo(tmp_path, {"other": "0 0.5 0.5 0.2 0.2\n"}, "val"))
    assert message in text
    assert "bad" in text
    assert bool(findings.errors) == message.startswith("error")
    assert all((p.boxes >= 0).all() and (p.boxes <= [200, 100, 200, 100]).all() for p in data.train)


def test_missing_and_broken_images_are_reported(tmp_path):
    folder = coco(tmp_path)
    (folder / "images" / "a.png").unlink()
    (folder / "images" / "b.png").write_bytes(b"no image")
    _, findings, text = checked(folder)
    assert "error: missing image, 2 times" in text
    assert "error: image that cannot be read, 2 times" in text
    assert "no object in the training images" in text
    assert findings.errors == 6


def test_labels_without_an_image_are_reported(tmp_path):
    yolo(tmp_path, {"a": "0 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.2 0.2\n"})
    (tmp_path / "labels/train/gone.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    image(tmp_path / "images/train/bare.png")
    _, findings, text = checked(yolo(tmp_path, {"b": "0 0.5 0.5 0.2 0.4\n"}, "val"))
    assert "error: label of no image, 1 times" in text
    assert "gone.txt" in text
    assert "warning: image without a label file, taken to hold no object, 1 times" in text
    assert findings.errors == 1


def test_coco_labels_without_an_image_or_class_are_reported(tmp_path):
    wrong = [
        {"image_id": 9, "category_id": 7, "bbox": [0, 0, 9, 9]},
        {"image_id": 1, "category_id": 8, "bbox": [0] * 4},
    ]
    right = {"image_id": 1, "category_id": 7, "bbox": [0, 0, 9, 9]}
    _, findings, text = checked(coco(tmp_path, annotations=[*wrong, right]))
    assert "image_id 9" in text
    assert "category_id 8" in text
    assert findings.errors == 4


class TestUnlabelledClasses:
    def test_of_an_image(self, tmp_path):
        images = [
            {"id": 1, "file_name": "a.png", "not_exhaustive_category_ids": [3]}, {"id": 2, "file_name": "b.png"}
        ]  # fmt: skip
        data, findings, _ = checked(coco(tmp_path, images=images))
        assert [p.unlabelled for p in data.train] == [{0}, set()]
        assert findings.errors == 0

    def test_of_a_data_set(self, tmp_path):
        yolo(tmp_path, {"a": "0 0.5 0.5 0.2 0.2\n"})
        yaml = "names: [car, van]\nunlabelled: [van]\n"
        data, findings, text = checked(yolo(tmp_path, {"b": "0 0.5 0.5 0.2 0.4\n"}, "val", yaml))
        assert data.train[0].unlabelled == {1}
        assert findings.errors == 0
        assert "class without a label, marked as unlabelled" in text

    def test_of_an_unknown_class(self, tmp_path):
        images = [{"id": 1, "file_name": "a.png", "not_exhaustive_category_ids": [5]}, {"id": 2, "file_name": "b.png"}]
        _, findings, text = checked(coco(tmp_path, images=images))
        assert "unknown class marked as unlabelled" in text
        assert findings.errors == 2

    def test_that_the_labels_contradict(self, tmp_path):
        yolo(tmp_path, {"a": "1 0.5 0.5 0.2 0.2\n0 0.2 0.2 0.1 0.1"})
        yaml = "names: [car, van]\nunlabelled: [van]\n"
        _, _, text = checked(yolo(tmp_path, {"b": "0 0.5 0.5 0.2 0.4\n"}, "val", yaml))
        assert "marked as unlabelled in every image" in text


def test_an_image_in_both_splits_is_reported(tmp_path):
    yolo(tmp_path, {"a": "0 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.2 0.2\n"})
    (tmp_path / "data.yaml").write_text("names: [car, van]\ntrain: images/train\nval: images/train\n")
    _, findings, text = checked(tmp_path)
    assert "image in both splits" in text
    assert findings.errors == 0


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "neither COCO's"),
        ({"a.json": "{}"}, "not a COCO JSON file with boxes"),
        ({"a.json": "{", "b_val.json": "{"}, "not a COCO JSON file"),
        ({"a.json": "{}", "b.json": "{}"}, "keep one JSON file to train on"),
        ({"data.yaml": "names: ["}, "is not valid YAML"),
        ({"data.yaml": "- car"}, "must be a mapping with the keys names"),
        ({"data.yaml": "train: nowhere"}, "there is no folder"),
    ],
)
def test_a_folder_without_a_data_set_is_refused(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(FinetuneError, match=message):
        read_dataset(tmp_path, Findings())


def test_too_few_images_for_a_validation_split_are_refused(tmp_path):
    with pytest.raises(FinetuneError, match="too few to set a tenth aside"):
        read_dataset(yolo(tmp_path, {"a": "0 0.5 0.5 0.2 0.2\n"}), Findings())


def test_many_findings_are_counted_and_a_few_shown():
    findings = Findings()
    for i in range(10):
        findings.error("missing image", f"{i}.jpg")
    assert findings.lines() == ["error: missing image, 10 times: 0.jpg; 1.jpg; 2.jpg (and 7 more)"]


def test_a_data_set_is_stored_and_read_back(tmp_path):
    data, _, _ = checked(coco(tmp_path))
    (tmp_path / "data.json").write_text(serialization.dump(data))
    back = serialization.load(tmp_path / "data.json")
    assert back.names == data.names
    for one, two in zip(back.train, data.train, strict=True):
        np.testing.assert_allclose(one.boxes, two.boxes)
        assert (one.width, one.height, one.unlabelled) == (two.width, two.height, two.unlabelled)
    assert serialization.dump(back) == serialization.dump(data)


def test_the_contact_sheet_shows_the_labels(tmp_path):
    yolo(tmp_path, {str(i): "0 0.5 0.5 0.4 0.4\n" for i in range(6)})
    data, _, _ = checked(yolo(tmp_path, {"b": "0 0.5 0.5 0.2 0.4\n"}, "val"))
    sheet = tmp_path / "sheet.jpg"
    contact_sheet.write(data.train, data.names, sheet)
    pixels = cv2.imread(str(sheet))
    assert pixels.shape == (720, 1920, 3)
    assert np.ptp(pixels[72:168, 144:336].astype(int)) > 60  # a box on the uniform grey
    first = sheet.read_bytes()
    contact_sheet.write(data.train, data.names, sheet)
    assert sheet.read_bytes() == first


def test_the_table_counts(tmp_path):
    data, _, _ = checked(coco(tmp_path))
    lines = dataset_checks.table(data)
    assert lines[1].split() == ["car", "1", "1", "226"]  # 50 of 200 by 50 of 100, at 640 by 640
    assert lines[-1].split() == ["images", "2", "2"]
