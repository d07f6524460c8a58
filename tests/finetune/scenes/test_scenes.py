"""Drawn scenes: they are reproducible, and their labels are exact."""

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
from finetune.scenes.render import SceneRenderer, render
from finetune.scenes.solids import SceneObject, placed

DOWN = Camera(30.0, math.pi / 2, 0.0, 400.0, 640, 480)
OBLIQUE = Camera(20.0, math.radians(35), 0.7, 500.0, 640, 480)


def test_a_seed_gives_the_same_image() -> None:
    one, two, other = render(3), render(3), render(4)
    np.testing.assert_array_equal(one.pixels, two.pixels)
    np.testing.assert_array_equal(one.boxes, two.boxes)
    np.testing.assert_array_equal(one.class_ids, two.class_ids)
    assert not np.array_equal(one.pixels, other.pixels)


def test_labels_lie_in_the_image() -> None:
    scene = render(7)
    height, width = scene.pixels.shape[:2]
    assert len(scene.boxes) > 10
    assert scene.boxes.min() >= 0
    assert (scene.boxes[:, 2:] <= (width, height)).all()
    sides = (scene.boxes[:, 2:] - scene.boxes[:, :2]) * 640 / (width, height)
    assert sides.min() >= 7  # px at the detector's input size
    assert ((scene.visible > 0) & (scene.visible <= 1)).all()


def rendered(camera: Camera, objects: list[SceneObject]) -> SceneRenderer:
    drawn = SceneRenderer(camera, np.array([0.0, 0.0, 1.0]), 0.6, False, np.random.default_rng(0))
    drawn.draw(Layout([Road(0, 0, 0, 1)], objects))
    return drawn


@pytest.mark.parametrize("camera", [DOWN, OBLIQUE], ids=["down", "oblique"])
@pytest.mark.parametrize("name", CLASSES)
def test_a_box_encloses_exactly_what_is_drawn(name: str, camera: Camera) -> None:
    item = SceneObject(placed(MAKERS[name](np.random.default_rng(1)), 1.5, -2.0, 0.6), name)
    drawn = rendered(camera, [item])
    boxes, class_ids, visible = drawn.labels()
    assert class_ids.tolist() == [CLASSES.index(name)]
    assert visible[0] == 1
    rows, columns = np.nonzero(drawn.image().sum(2))
    extent = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    # Edges are rounded at twice the size and then averaged, so an edge may reach into the next pixel.
    np.testing.assert_allclose(boxes[0], extent, atol=1.5)


def test_a_hidden_object_is_not_labelled() -> None:
    rng = np.random.default_rng(2)
    walker = SceneObject(placed(MAKERS["pedestrian"](rng), 0, 3.0, 0), "pedestrian")
    bus = SceneObject(placed(MAKERS["bus"](rng), 0, 0.0, math.pi / 2), "bus")
    low = Camera(8.0, math.radians(20), 0.0, 500.0, 640, 480)
    assert rendered(low, [walker]).labels()[1].tolist() == [0]
    assert rendered(low, [walker, bus]).labels()[1].tolist() == [CLASSES.index("bus")]


def test_an_object_beyond_the_edge_is_clipped_or_left_out() -> None:
    def at(x: float) -> np.ndarray:
        return rendered(DOWN, [SceneObject(placed(MAKERS["car"](np.random.default_rng(1)), x, 0, 0), "car")]).labels()[
            0
        ]

    assert len(at(0)) == 1
    assert at(23.6)[0, 2] == 640  # 24 m is the right edge
    assert len(at(40)) == 0


LOW = Camera(14.0, math.radians(30), 0.0, 500.0, 640, 480)  # looks north
HOUSE = Footprint(0, 12.0, 0, 10.0, 4.0)  # 20 m wide, from 8 to 16 m north of the origin


@pytest.mark.parametrize(
    ("y", "x", "labelled"), [(6.0, 0.0, 1), (6.0, 8.0, 1), (18.5, 0.0, 0), (18.5, -8.0, 0), (18.5, 17.0, 1)]
)
def test_a_house_hides_what_is_behind_it_and_nothing_in_front_of_it(x: float, y: float, labelled: int) -> None:
    car = SceneObject(placed(MAKERS["car"](np.random.default_rng(1)), x, y, 0), "car")
    built, _ = house(HOUSE, 9.0, np.random.default_rng(3))
    drawn = SceneRenderer(LOW, np.array([0.0, 0.0, 1.0]), 0.6, False, np.random.default_rng(0))
    drawn.draw(Layout([Road(0, 0, 0, 1)], [car], [built]))
    boxes, class_ids, visible = drawn.labels()
    assert class_ids.tolist() == [CLASSES.index("car")] * labelled
    if labelled:
        assert visible[0] > 0.99
        alone = rendered(LOW, [car]).labels()[0]
        np.testing.assert_allclose(boxes, alone)


def test_a_wall_has_windows_and_shops_and_no_label() -> None:
    built, attachments = house(HOUSE, 9.0, np.random.default_rng(3))
    assert [t.shape[2] for t in built.textures] == [3] * 5
    assert all(t.std() > 15 for t in built.textures[1:])
    assert all(item.class_name is None for item in attachments)
    drawn = SceneRenderer(LOW, np.array([0.0, -0.7, 0.7]), 0.6, False, np.random.default_rng(0))
    drawn.draw(Layout([Road(0, 0, 0, 1)], attachments, [built]))
    assert len(drawn.labels()[0]) == 0
    assert (drawn.image().sum(2) > 0).mean() > 0.15


def test_houses_do_not_overlap_roads_or_each_other_or_block_the_view() -> None:
    eye = np.array([0.0, -30.0, 20.0])
    houses = 0
    for seed in range(6):
        layout = lay_out(60.0, eye, np.random.default_rng(seed))
        houses += len(layout.houses)
        for number, one in enumerate(layout.houses):
            corners = one.footprint.points()
            assert all(layout.off_road(x, y, 2.4) for x, y in corners)
            assert not any(o.footprint.beyond(x, y) < 0 for o in layout.houses[:number] for x, y in corners)
            assert not hides_the_view(one.footprint, one.body.corners[:, 2].max(), eye)
        for item in layout.objects:
            if item.class_name:
                x, y = np.concatenate([s.corners for s in item.solids]).mean(0)[:2]
                assert all(h.footprint.beyond(x, y) > 0 for h in layout.houses)
    assert houses > 20
    assert hides_the_view(Footprint(0, -15, 0, 5, 5), 12, eye)
    assert not hides_the_view(Footprint(0, -15, 0, 5, 5), 2, eye)
    assert not hides_the_view(Footprint(40, -15, 0, 5, 5), 12, eye)


def test_an_object_too_small_to_recognise_is_not_drawn() -> None:
    walker = SceneObject(placed(MAKERS["pedestrian"](np.random.default_rng(1)), 0, 0, 0), "pedestrian")
    far = rendered(Camera(60.0, math.pi / 2, 0.0, 400.0, 640, 480), [walker])
    assert len(far.labels()[0]) == 0
    assert far.image().max() == 0


def test_a_tree_hides_what_stands_behind_it() -> None:
    walker = SceneObject(placed(MAKERS["pedestrian"](np.random.default_rng(1)), 0, 3.0, 0), "pedestrian")
    for y, labelled in ((1.0, []), (6.0, [0])):
        drawn = SceneRenderer(LOW, np.array([0.0, 0.0, 1.0]), 0.6, False, np.random.default_rng(0))
        drawn.draw(Layout([Road(0, 0, 0, 1)], [walker], trees=[Tree(0, y, 1.6, 1.4, 1.0)]))
        assert drawn.labels()[1].tolist() == labelled


def test_every_class_is_drawn() -> None:
    drawn = {int(i) for seed in range(6) for i in render(seed).class_ids}
    assert drawn == set(range(10))


def test_scenes_are_written_as_yolo(tmp_path) -> None:
    assert main([str(tmp_path), "--count", "2", "--first", "5"]) == 0
    samples = read_dataset(tmp_path, "yolo").images
    assert [s.image.name for s in samples] == ["00005.jpg", "00006.jpg"]
    expected = render(5)
    np.testing.assert_allclose(samples[0].boxes, expected.boxes, atol=0.01)
    np.testing.assert_array_equal(samples[0].class_ids, expected.class_ids)
