"""Drawn scenes: the same picture from a seed, and labels that are where things are."""

import math

import numpy as np
import pytest

from benchmarks.evaluation.datasets import read_dataset
from finetune.scenes.__main__ import main
from finetune.scenes.camera import Camera
from finetune.scenes.layout import Layout, Road
from finetune.scenes.objects import MAKERS
from finetune.scenes.render import Stage, render
from finetune.scenes.shapes import Thing, placed
from finetune.scenes.source import scene_part
from finetune.sources import CLASSES

DOWN = Camera(30.0, math.pi / 2, 0.0, 400.0, 640, 480)
OBLIQUE = Camera(20.0, math.radians(35), 0.7, 500.0, 640, 480)


def test_a_seed_gives_the_same_picture() -> None:
    one, two, other = render(3), render(3), render(4)
    np.testing.assert_array_equal(one.pixels, two.pixels)
    np.testing.assert_array_equal(one.boxes, two.boxes)
    np.testing.assert_array_equal(one.class_ids, two.class_ids)
    assert one.pixels.shape != other.pixels.shape or (one.pixels != other.pixels).any()


def test_labels_lie_in_the_picture() -> None:
    scene = render(7)
    height, width = scene.pixels.shape[:2]
    assert len(scene.boxes) > 10
    assert scene.boxes.min() >= 0
    assert (scene.boxes[:, 2:] <= (width, height)).all()
    assert (scene.boxes[:, 2:] - scene.boxes[:, :2]).min() >= 3
    assert ((scene.visible > 0) & (scene.visible <= 1)).all()


def stage(camera: Camera, things: list[Thing]) -> Stage:
    drawn = Stage(camera, np.array([0.0, 0.0, 1.0]), 0.6, False, np.random.default_rng(0))
    drawn.draw(Layout([Road(0, 0, 0, 1)], things))
    return drawn


@pytest.mark.parametrize("camera", [DOWN, OBLIQUE], ids=["down", "oblique"])
@pytest.mark.parametrize("name", CLASSES)
def test_a_box_encloses_exactly_what_is_drawn(name: str, camera: Camera) -> None:
    thing = Thing(placed(MAKERS[name](np.random.default_rng(1)), 1.5, -2.0, 0.6), name)
    drawn = stage(camera, [thing])
    boxes, class_ids, visible = drawn.labels()
    assert class_ids.tolist() == [CLASSES.index(name)]
    assert visible[0] == 1
    rows, columns = np.nonzero(drawn.picture().sum(2))
    seen = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    # Drawn at twice the size with edges rounded and included, then averaged: an edge may reach into the next pixel.
    np.testing.assert_allclose(boxes[0], seen, atol=1.5)


def test_what_is_hidden_is_not_labelled() -> None:
    rng = np.random.default_rng(2)
    walker = Thing(placed(MAKERS["pedestrian"](rng), 0, 3.0, 0), "pedestrian")
    bus = Thing(placed(MAKERS["bus"](rng), 0, 0.0, math.pi / 2), "bus")
    low = Camera(8.0, math.radians(20), 0.0, 500.0, 640, 480)
    assert stage(low, [walker]).labels()[1].tolist() == [0]
    assert stage(low, [walker, bus]).labels()[1].tolist() == [CLASSES.index("bus")]


def test_a_thing_beyond_the_frame_is_cut_or_left_out() -> None:
    def at(x: float) -> np.ndarray:
        return stage(DOWN, [Thing(placed(MAKERS["car"](np.random.default_rng(1)), x, 0, 0), "car")]).labels()[0]

    assert len(at(0)) == 1
    assert at(24)[0, 2] == 640  # 24 m is the right edge
    assert len(at(40)) == 0


def test_every_class_is_drawn() -> None:
    found = {int(i) for seed in range(6) for i in render(seed).class_ids}
    assert found == set(range(10))


def test_scenes_are_written_as_yolo(tmp_path) -> None:
    assert main([str(tmp_path), "--count", "2", "--first", "5"]) == 0
    samples = read_dataset(tmp_path, "yolo").samples
    assert [s.picture.name for s in samples] == ["00005.jpg", "00006.jpg"]
    expected = render(5)
    np.testing.assert_allclose(samples[0].labels.boxes, expected.boxes, atol=0.01)
    np.testing.assert_array_equal(samples[0].labels.class_ids, expected.class_ids)


def test_every_tenth_scene_is_held_out() -> None:
    assert [scene_part(f"{i:05d}") for i in (0, 1, 9, 10)] == ["held out", "train", "train", "held out"]
