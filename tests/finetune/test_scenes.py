"""Drawn scenes: the same image from a seed, and labels that are where things are."""

import math

import numpy as np
import pytest

from benchmarks.evaluation.datasets import read_dataset
from finetune.data.sources import CLASSES
from finetune.scenes.__main__ import main
from finetune.scenes.camera import Camera
from finetune.scenes.houses import Footprint, hides_the_view, house
from finetune.scenes.layout import Layout, Road, Tree, lay_out
from finetune.scenes.objects import MAKERS
from finetune.scenes.render import Stage, render
from finetune.scenes.solids import Thing, placed
from finetune.scenes.source import scene_part

DOWN = Camera(30.0, math.pi / 2, 0.0, 400.0, 640, 480)
OBLIQUE = Camera(20.0, math.radians(35), 0.7, 500.0, 640, 480)


def test_a_seed_gives_the_same_image() -> None:
    one, two, other = render(3), render(3), render(4)
    np.testing.assert_array_equal(one.pixels, two.pixels)
    np.testing.assert_array_equal(one.boxes, two.boxes)
    np.testing.assert_array_equal(one.class_ids, two.class_ids)
    assert one.pixels.shape != other.pixels.shape or (one.pixels != other.pixels).any()


def test_labels_lie_in_the_image() -> None:
    scene = render(7)
    height, width = scene.pixels.shape[:2]
    assert len(scene.boxes) > 10
    assert scene.boxes.min() >= 0
    assert (scene.boxes[:, 2:] <= (width, height)).all()
    sides = (scene.boxes[:, 2:] - scene.boxes[:, :2]) * 640 / (width, height)
    assert sides.min() >= 7  # as they are served, so that someone could tell what they are
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
    rows, columns = np.nonzero(drawn.image().sum(2))
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
    assert at(23.6)[0, 2] == 640  # 24 m is the right edge
    assert len(at(40)) == 0


LOW = Camera(14.0, math.radians(30), 0.0, 500.0, 640, 480)  # looks north
HOUSE = Footprint(0, 12.0, 0, 10.0, 4.0)  # 20 m wide, from 8 to 16 m north of the origin


@pytest.mark.parametrize(
    ("y", "x", "labelled"), [(6.0, 0.0, 1), (6.0, 8.0, 1), (18.5, 0.0, 0), (18.5, -8.0, 0), (18.5, 17.0, 1)]
)
def test_a_house_hides_what_is_behind_it_and_nothing_before_it(x: float, y: float, labelled: int) -> None:
    car = Thing(placed(MAKERS["car"](np.random.default_rng(1)), x, y, 0), "car")
    built, _ = house(HOUSE, 9.0, np.random.default_rng(3))
    drawn = Stage(LOW, np.array([0.0, 0.0, 1.0]), 0.6, False, np.random.default_rng(0))
    drawn.draw(Layout([Road(0, 0, 0, 1)], [car], [built]))
    boxes, class_ids, visible = drawn.labels()
    assert class_ids.tolist() == [CLASSES.index("car")] * labelled
    if labelled:
        assert visible[0] > 0.99
        alone = stage(LOW, [car]).labels()[0]
        np.testing.assert_allclose(boxes, alone)


def test_a_wall_has_windows_and_shops_and_no_label() -> None:
    built, standing_out = house(HOUSE, 9.0, np.random.default_rng(3))
    assert [t.shape[2] for t in built.textures] == [3] * 5
    assert all(t.std() > 15 for t in built.textures[1:])
    assert all(thing.class_name is None for thing in standing_out)
    drawn = Stage(LOW, np.array([0.0, -0.7, 0.7]), 0.6, False, np.random.default_rng(0))
    drawn.draw(Layout([Road(0, 0, 0, 1)], standing_out, [built]))
    assert len(drawn.labels()[0]) == 0
    assert (drawn.image().sum(2) > 0).mean() > 0.15


def test_houses_keep_off_the_roads_each_other_and_the_line_of_sight() -> None:
    eye = np.array([0.0, -30.0, 20.0])
    found = 0
    for seed in range(6):
        layout = lay_out(60.0, eye, np.random.default_rng(seed))
        found += len(layout.houses)
        for number, one in enumerate(layout.houses):
            corners = one.footprint.points()
            assert all(layout.off_road(x, y, 2.4) for x, y in corners)
            assert not any(o.footprint.beyond(x, y) < 0 for o in layout.houses[:number] for x, y in corners)
            assert not hides_the_view(one.footprint, one.body.corners[:, 2].max(), eye)
        for thing in layout.things:
            if thing.class_name:
                x, y = np.concatenate([s.corners for s in thing.solids]).mean(0)[:2]
                assert all(h.footprint.beyond(x, y) > 0 for h in layout.houses)
    assert found > 20
    assert hides_the_view(Footprint(0, -15, 0, 5, 5), 12, eye)
    assert not hides_the_view(Footprint(0, -15, 0, 5, 5), 2, eye)
    assert not hides_the_view(Footprint(40, -15, 0, 5, 5), 12, eye)


def test_what_would_be_too_small_to_tell_is_not_drawn() -> None:
    walker = Thing(placed(MAKERS["pedestrian"](np.random.default_rng(1)), 0, 0, 0), "pedestrian")
    far = stage(Camera(60.0, math.pi / 2, 0.0, 400.0, 640, 480), [walker])
    assert len(far.labels()[0]) == 0
    assert far.image().max() == 0


def test_a_tree_hides_what_stands_behind_it() -> None:
    walker = Thing(placed(MAKERS["pedestrian"](np.random.default_rng(1)), 0, 3.0, 0), "pedestrian")
    for y, labelled in ((1.0, []), (6.0, [0])):
        drawn = Stage(LOW, np.array([0.0, 0.0, 1.0]), 0.6, False, np.random.default_rng(0))
        drawn.draw(Layout([Road(0, 0, 0, 1)], [walker], trees=[Tree(0, y, 1.6, 1.4, 1.0)]))
        assert drawn.labels()[1].tolist() == labelled


def test_every_class_is_drawn() -> None:
    found = {int(i) for seed in range(6) for i in render(seed).class_ids}
    assert found == set(range(10))


def test_scenes_are_written_as_yolo(tmp_path) -> None:
    assert main([str(tmp_path), "--count", "2", "--first", "5"]) == 0
    samples = read_dataset(tmp_path, "yolo").samples
    assert [s.image.name for s in samples] == ["00005.jpg", "00006.jpg"]
    expected = render(5)
    np.testing.assert_allclose(samples[0].labels.boxes, expected.boxes, atol=0.01)
    np.testing.assert_array_equal(samples[0].labels.class_ids, expected.class_ids)


def test_every_tenth_scene_is_held_out() -> None:
    assert [scene_part(f"{i:05d}") for i in (0, 1, 9, 10)] == ["held out", "train", "train", "held out"]
