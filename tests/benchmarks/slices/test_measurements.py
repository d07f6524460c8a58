"""The parts of `sod bench slices` that need no server."""

import json

import cv2
import numpy as np
import orjson
import pytest

from benchmarks.cli import main
from benchmarks.slices.images import encoded_scene, write_scenes
from benchmarks.slices.merging import crowd
from benchmarks.slices.requests import request_body
from sod.merging import MergeOptions, merge


def test_a_mosaic_has_the_objects_of_its_scenes(tmp_path):
    single, tiled = write_scenes(tmp_path, 1)
    assert len(single.images) == 16
    (mosaic,) = tiled.images
    assert (mosaic.width, mosaic.height) == (5440, 3060)
    assert len(mosaic.boxes) == sum(len(one.boxes) for one in single.images) > 16
    pixels = cv2.imread(str(mosaic.image))
    assert pixels.shape == (3060, 5440, 3)
    last, own = cv2.imread(str(single.images[15].image)), pixels[3 * 765 :, 3 * 1360 :]
    assert np.abs(last.astype(int) - own).mean() < 3  # both went through JPEG
    np.testing.assert_allclose(
        mosaic.boxes[-len(single.images[15].boxes) :],
        single.images[15].boxes + np.array([3 * 1360, 3 * 765] * 2, np.float32),
    )
    assert (mosaic.boxes.max(0) <= [5440, 3060] * 2).all()


def test_a_scene_of_any_size():
    drawn = cv2.imdecode(np.frombuffer(encoded_scene(1500, 800), np.uint8), cv2.IMREAD_COLOR)
    assert drawn.shape == (800, 1500, 3)
    assert drawn.std() > 10


def test_the_request():
    asked = orjson.loads(request_body(b"jpeg", "S", 0.5, 640))
    assert asked["slice"]["size"] == [640, 640]
    assert asked["slice"]["overlap"] == [0.25, 0.25]
    assert "slice" not in orjson.loads(request_body(b"jpeg", "S", 0.5, None))


def test_the_crowd_is_one_that_merging_thins_out():
    detections, cut = crowd(2_000)
    assert (len(detections), cut.shape) == (2_000, (2_000, 4))
    assert 500 < len(merge(detections, MergeOptions(), cut)) < 1_200


def test_the_merge_is_measured(tmp_path, capsys):
    out = tmp_path / "out.json"
    assert main(["slices", "--sections", "accuracy", "merge", "--rounds", "1", "--json", str(out)]) == 0
    printed = capsys.readouterr()
    assert "| merge of 100,000 boxes, nmm | " in printed.out
    assert "Processors used by other programs before each section" in printed.out
    assert "accuracy: left out, because there are no --labels" in printed.err
    merged = json.loads(out.read_text())["results"]["merge"]
    assert merged["25000"]["nms"]["ms"] >= merged["25000"]["nms"]["best_ms"] > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--labels", "/nowhere"], "/nowhere does not exist"),
        (["--sections", "speed", "--model-repository", "/nowhere"], "/nowhere/PP-YOLOE_plus_SOD-S/config.pbtxt"),
        (
            ["--sections", "speed", "--speed-model", "PP-YOLOE_plus_SOD-demo", "--profiles", "cpu_regular"],
            "speed is measured in profiles of OpenVINO, and cpu_regular uses onnxruntime",
        ),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(words, message, capsys):
    assert main(["slices", *words]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_class_without_labels_is_one_sentence(tmp_path, capsys):
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    cv2.imwrite(str(tmp_path / "images/a.png"), np.zeros((80, 100, 3), np.uint8))
    (tmp_path / "labels/a.txt").write_text("1 0.5 0.5 0.2 0.2\n")
    (tmp_path / "data.yaml").write_text("val: images\nnames: [car, van]\n")
    assert main(["slices", "--sections", "accuracy", "--labels", str(tmp_path)]) == 1
    assert f"no car is labelled in {tmp_path}: --class-name may be van" in capsys.readouterr().err
