"""Validation images as COCO JSON files."""

import json

import numpy as np

from benchmarks.evaluation.datasets import read_dataset
from finetune.data.validation_coco import main
from finetune.scenes.__main__ import main as draw


def test_validation_images_are_read_back(tmp_path) -> None:
    for seed in (9, 10):
        draw([str(tmp_path / "scenes"), "--count", "1", "--first", str(seed)])
    assert main([str(tmp_path), str(tmp_path / "out")]) == 0
    path = tmp_path / "out" / "scenes.json"
    read = read_dataset(path, "coco", tmp_path / "scenes" / "images")
    expected = read_dataset(tmp_path / "scenes", "yolo").images[1]
    assert [s.image.name for s in read.images] == ["00010.jpg"]
    np.testing.assert_allclose(read.images[0].boxes, expected.boxes, atol=0.02)
    names = [c["name"] for c in json.loads(path.read_text())["categories"]]
    assert "car" in names


def test_a_folder_without_sources_is_refused(tmp_path, capsys) -> None:
    assert main([str(tmp_path), str(tmp_path / "out")]) == 2
    assert "hit_uav_thermal" in capsys.readouterr().err
