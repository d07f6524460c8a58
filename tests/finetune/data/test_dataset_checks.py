"""Checks and statistics of whole data sets."""

from finetune.data import dataset_checks
from tests.finetune.data.datasets import read_and_check, write_coco, write_yolo


def test_an_image_in_both_splits_is_reported(tmp_path):
    write_yolo(tmp_path, {"a": "0 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.2 0.2\n"})
    (tmp_path / "data.yaml").write_text("names: [car, van]\ntrain: images/train\nval: images/train\n")
    _, findings, text = read_and_check(tmp_path)
    assert "image in both splits" in text
    assert findings.errors == 0


def test_the_table_counts(tmp_path):
    data, _, _ = read_and_check(write_coco(tmp_path))
    lines = dataset_checks.table(data)
    assert lines[1].split() == ["car", "1", "1", "226"]  # 50 of 200 by 50 of 100, at 640 by 640
    assert lines[-1].split() == ["images", "2", "2"]
