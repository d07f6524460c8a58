"""Held-out images as COCO json, and what is counted on VisDrone's image."""

import json

import numpy as np
import pytest

from benchmarks.evaluation.datasets import read_dataset
from finetune.data.held_out import main
from finetune.errors import FinetuneError
from finetune.scenes.__main__ import main as draw
from finetune.unoccluded import found, unoccluded


def test_held_out_images_are_read_back(tmp_path) -> None:
    for seed in (9, 10):
        draw([str(tmp_path / "scenes"), "--count", "1", "--first", str(seed)])
    assert main([str(tmp_path), str(tmp_path / "out")]) == 0
    path = tmp_path / "out" / "scenes.json"
    read = read_dataset(path, "coco", tmp_path / "scenes" / "images")
    expected = read_dataset(tmp_path / "scenes", "yolo").samples[1]
    assert [s.image.name for s in read.samples] == ["00010.jpg"]
    np.testing.assert_allclose(read.samples[0].labels.boxes, expected.labels.boxes, atol=0.02)
    names = [c["name"] for c in json.loads(path.read_text())["categories"]]
    assert "car" in names


def test_a_folder_without_sources_is_said(tmp_path, capsys) -> None:
    assert main([str(tmp_path), str(tmp_path / "out")]) == 2
    assert "hit_uav_thermal" in capsys.readouterr().err


def test_unoccluded_objects_are_those_of_the_class() -> None:
    text = "10,20,30,40,1,4,0,0\n1,1,5,5,1,4,0,1\n2,2,6,6,1,1,0,0,\n"
    np.testing.assert_array_equal(unoccluded(text, "car"), [[10, 20, 40, 60]])
    with pytest.raises(FinetuneError, match="VisDrone"):
        unoccluded("0 0.5 0.5 0.1 0.1\n", "car")


def test_a_box_finds_one_object() -> None:
    wanted = np.array([[0, 0, 10, 10], [2, 0, 12, 10], [50, 50, 60, 60]], np.float32)
    boxes = np.array([[1, 0, 11, 10], [50, 50, 58, 58], [80, 80, 90, 90]], np.float32)
    scores = np.array([0.9, 0.5, 0.4], np.float32)
    assert found(wanted, boxes, scores) == 2
    assert found(wanted, boxes[2:], scores[2:]) == 0
