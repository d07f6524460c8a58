"""Drawing: boxes enclose their objects, labels name them and cover none, and any input gives an image."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sod.detections import Detections
from sod.drawing.overlay import draw_detections
from sod.drawing.palette import class_colour
from tests.sod.drawing.scenes import (
    GREY,
    LABELS,
    Pixels,
    changed,
    clear_caches,
    crowd,
    detections,
    find_text,
    image,
    legend,
)

# Boxes


def frame(drawn: Pixels, x0: int, y0: int, x1: int, y1: int) -> Pixels:
    """The pixels that surround a rectangle, [n, 3]."""
    window = drawn[y0 - 1 : y1 + 1, x0 - 1 : x1 + 1]
    return np.concatenate((window[0], window[-1], window[1:-1, 0], window[1:-1, -1]))


@pytest.mark.parametrize("class_id", [0, 3, 9, 10, 499])
@pytest.mark.parametrize("size", [(300, 200), (4000, 1000)])
def test_the_line_surrounds_the_object_in_its_class_colour(size: tuple[int, int], class_id: int) -> None:
    drawn = draw_detections(image(*size), detections([[100.0, 80.0, 112.0, 90.0]], [class_id]), LABELS)
    assert (frame(drawn, 100, 80, 112, 90) == class_colour(class_id)).all()
    assert not changed(drawn)[80:90, 100:112].any(), "the object itself is not drawn over"


def test_fractional_edges_are_rounded_outwards() -> None:
    drawn = draw_detections(image(300, 200), detections([[100.6, 80.9, 111.2, 89.1]]), LABELS)
    assert not changed(drawn)[80:90, 100:112].any()
    assert (frame(drawn, 100, 80, 112, 90) == class_colour(0)).all()


def test_lines_are_thicker_on_a_large_image() -> None:
    def thickness(width: int, height: int) -> int:
        drawn = draw_detections(image(width, height), detections([[1000, 300, 1010, 310]], [1]), LABELS)
        return int((drawn[305] == class_colour(1)).all(axis=1).sum())

    assert thickness(1200, 600) == 2, "one pixel on either side"
    assert thickness(4000, 1000) > thickness(1200, 600)


def test_the_best_score_is_drawn_on_top() -> None:
    boxes = [[50.0, 50.0, 60.0, 60.0]] * 3
    drawn = draw_detections(image(200, 200), detections(boxes, [1, 2, 3], [0.4, 0.9, 0.6]), LABELS)
    assert (frame(drawn, 50, 50, 60, 60) == class_colour(2)).all()


def test_a_box_beyond_the_edge_is_closed_at_the_edge() -> None:
    drawn = draw_detections(image(300, 200), detections([[-20, 150, 30, 260]], [5]), LABELS)
    line = (drawn == class_colour(5)).all(axis=2)
    assert line[150:, 0].all()
    assert line[-1, :31].all()
    assert line[150:, 30].all()
    assert line[149, :31].all()


@pytest.mark.parametrize(
    "box",
    [
        [-30.0, 5.0, -1.0, 20.0],
        [400.0, 5.0, 420.0, 20.0],
        [5.0, 300.0, 20.0, 310.0],
        [np.nan, 5.0, 20.0, 20.0],
        [5.0, 5.0, np.inf, 20.0],
    ],
)
def test_a_box_outside_the_image_or_not_finite_is_left_out(box: list[float]) -> None:
    assert not changed(draw_detections(image(300, 200), detections([box]), LABELS)).any()


def test_corners_in_any_order_and_boxes_without_area_are_drawn() -> None:
    straight = draw_detections(image(300, 200), detections([[10, 20, 50, 60]]), LABELS)
    swapped = draw_detections(image(300, 200), detections([[50, 60, 10, 20]]), LABELS)
    assert (straight == swapped).all()
    drawn = draw_detections(image(300, 200), detections([[100.5, 70, 100.5, 70]]), LABELS)
    assert changed(drawn)[68:72, 99:102].any()


# The array


def test_the_input_is_not_changed_and_may_be_read_only_or_a_view() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (120, 300, 3), np.uint8)
    pixels.flags.writeable = False
    before = pixels.copy()
    view = pixels[::-1, ::2]
    drawn = draw_detections(view, detections(crowd(60, 5, 5, 100, 80)), LABELS)
    assert (pixels == before).all()
    assert drawn.flags.writeable
    assert (drawn == draw_detections(np.ascontiguousarray(view), detections(crowd(60, 5, 5, 100, 80)), LABELS)).all()


def test_drawing_in_place_gives_the_same_image_in_the_same_memory() -> None:
    pixels = image(300, 200)
    objects = detections(crowd(60, 5, 5, 200, 150))
    expected = draw_detections(pixels, objects, LABELS)
    assert draw_detections(pixels, objects, LABELS, in_place=True) is pixels
    assert (pixels == expected).all()
    for unfit in (pixels[:, ::2], np.frombuffer(pixels.tobytes(), np.uint8).reshape(pixels.shape)):
        with pytest.raises(ValueError, match="contiguous and writable"):
            draw_detections(unfit, objects, LABELS, in_place=True)


def test_no_detections_give_an_equal_new_image() -> None:
    pixels = image(30, 20)
    drawn = draw_detections(pixels, Detections.empty(), LABELS)
    assert (drawn == pixels).all()
    assert not np.shares_memory(drawn, pixels)


@pytest.mark.parametrize("pixels", [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3)), np.zeros((5, 5, 4), np.uint8)])
def test_an_array_that_is_no_image_is_refused(pixels: Pixels) -> None:
    with pytest.raises(ValueError, match=r"uint8 \[H, W, 3\]"):
        draw_detections(pixels, Detections.empty(), LABELS)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.lists(
        st.tuples(
            st.lists(st.floats(width=32) | st.floats(-30, 120, width=32), min_size=4, max_size=4),
            st.floats(width=32),
            st.integers(-(2**31), 2**31 - 1) | st.integers(0, 12),
        ),
        max_size=12,
    ),
    st.lists(st.text(max_size=6), max_size=3),
)
def test_any_numbers_and_names_give_an_image_of_the_same_size(
    width: int, height: int, objects: list[tuple[list[float], float, int]], labels: list[str]
) -> None:
    pixels = image(width, height)
    drawn = draw_detections(
        pixels,
        detections([box for box, _, _ in objects], [c for _, _, c in objects], [score for _, score, _ in objects]),
        labels,
    )
    assert drawn.dtype == np.uint8
    assert drawn.shape == pixels.shape
    assert (pixels == GREY).all()


# Labels


def test_a_label_gives_class_and_score_and_touches_its_box() -> None:
    drawn = draw_detections(image(300, 200), detections([[100, 80, 112, 90]], [3], [0.816]), LABELS)
    ((x0, y0, x1, y1),) = find_text(drawn, "car 0.82")
    rows, columns = np.nonzero(changed(drawn))
    height = y1 - y0
    assert rows.min() >= y0 - height / 2, "the label is as high as its text and a little space around it"
    assert (changed(drawn)[rows.min() : rows.max() + 1].any(axis=1)).all(), "label and box are connected"
    assert columns.max() <= x1 + height / 2
    assert (drawn[y1, x0:x1] == class_colour(3)).all(), "the background has the class's colour"


def test_a_walled_in_box_is_connected_to_its_label_by_a_line() -> None:
    """With neighbours on all four sides, only a straight line between them leads to a free place."""
    neighbours = [[100, 88, 190, 97], [130, 97, 138, 110], [154, 97, 162, 110]]
    drawn = draw_detections(
        image(300, 200),
        detections([[140, 100, 152, 106], *neighbours], [3, 0, 0, 0]),
        ["a", "b", "c", "car"],
    )
    ((_, y0, _, _),) = find_text(drawn, "car 0.50")
    assert y0 > 107
    assert (drawn[107:y0, 140:152] == class_colour(3)).all(axis=2).any(axis=1).all()


def test_the_best_score_gets_the_only_place() -> None:
    boxes = [[0.0, 16.0, 60.0, 30.0]] * 2  # one label fits above, none below
    for scores in ([0.31, 0.97], [0.97, 0.31]):
        drawn = draw_detections(image(60, 31), detections(boxes, scores=scores), ["abcdef"])
        assert len(find_text(drawn, "abcdef 0.97")) == 1
        assert not find_text(drawn, "abcdef 0.31")


def test_a_large_box_without_room_around_it_is_labelled_inside() -> None:
    drawn = draw_detections(image(400, 300), detections([[0, 0, 400, 300]], [3]), LABELS)
    ((x0, y0, _, _),) = find_text(drawn, "car 0.50")
    assert max(x0, y0) < 10
    in_the_corner = [5.0, 5.0, 15.0, 15.0]
    drawn = draw_detections(image(400, 300), detections([[0, 0, 400, 300], in_the_corner], [3, 0]), LABELS)
    ((x0, _, _, _),) = find_text(drawn, "car 0.50")
    assert x0 > 100, "another corner is free"


@pytest.mark.parametrize("name", ["🚗", "\ud800", "a\x00b", "مشاة", "a 🚗"])
def test_a_name_that_cannot_be_drawn_is_replaced_by_the_class_id(name: str) -> None:
    box = detections([[100, 80, 112, 90]], [1])
    drawn = draw_detections(image(300, 200), box, ["x", name])
    assert find_text(drawn, "1 0.50")
    assert (drawn == draw_detections(image(300, 200), box, ["x", "1"])).all()


def test_a_missing_name_is_the_class_id_and_a_long_one_is_shortened() -> None:
    box = detections([[100, 80, 112, 90]], [1])
    assert find_text(draw_detections(image(400, 200), box, ["x"]), "1 0.50")
    drawn = draw_detections(image(400, 200), box, ["x", "two\nlines " + "e" * 99])
    assert find_text(drawn, "two lines " + "e" * 21 + "… 0.50")


# Legend


def test_no_legend_while_every_box_has_its_label() -> None:
    objects = detections([[100, 80, 112, 90], [300, 200, 309, 208]], [0, 3])
    drawn = draw_detections(image(600, 400), objects, LABELS)
    assert len(find_text(drawn, "pedestrian 0.50")) == 1
    assert len(find_text(drawn, "car 0.50")) == 1
    assert legend(drawn) is None


@pytest.mark.parametrize("free", ["top left", "top right", "bottom left", "bottom right"])
def test_the_legend_is_in_the_corner_without_boxes_and_counts_by_class(free: str) -> None:
    corners = {"top left": (2, 2), "top right": (450, 2), "bottom left": (2, 300), "bottom right": (450, 300)}
    corners.pop(free)
    boxes = [box for x, y in corners.values() for box in crowd(72, x, y, 140, 95)]
    class_ids = [3 if index % 4 else 7 for index in range(216)]
    drawn = draw_detections(image(600, 400), detections(boxes, class_ids), LABELS)
    panel = legend(drawn)
    assert panel is not None
    x0, y0, x1, y1 = panel
    assert ("top" in free, "left" in free) == (y1 < 200, x1 < 300)
    assert ("bottom" in free, "right" in free) == (y0 > 200, x0 > 300)
    for class_id, text in ((3, "car 162"), (7, "awning-tricycle 54")):
        ((tx0, ty0, _, ty1),) = find_text(drawn, text)
        assert x0 < tx0 < x1
        assert y0 <= ty0 < y1
        swatch = drawn[ty0:ty1, x0:tx0]
        assert (swatch == class_colour(class_id)).all(axis=2).sum() >= 60, "the colour is beside the name"


def test_boxes_are_visible_on_the_legend() -> None:
    boxes = crowd(10000, 1, 1, 599, 399)
    drawn = draw_detections(image(600, 400), detections(boxes, [3] * len(boxes)), LABELS)
    assert legend(drawn) is not None
    for x0, y0, x1, y1 in np.array(boxes, int).tolist():
        assert (frame(drawn, x0, y0, x1, y1) == class_colour(3)).all()


def test_no_legend_where_it_would_fill_the_image() -> None:
    boxes = crowd(100, 1, 1, 150, 50)
    objects = detections(boxes, [7] * len(boxes))
    assert legend(draw_detections(image(150, 50), objects, LABELS)) is None
    assert legend(draw_detections(image(150, 100), objects, LABELS)) is not None


def test_a_label_under_the_legend_is_left_out() -> None:
    """Every corner has boxes. The legend takes the one with the fewest, whose label would be under it."""
    dense = [box for x, y in ((2, 2), (450, 2), (2, 308)) for box in crowd(96, x, y, 140, 95)]
    alone = [[590.0, 385.0, 598.0, 393.0]]
    lonely = draw_detections(image(600, 400), detections(alone, [8]), LABELS)
    assert find_text(lonely, "bus 0.50")
    drawn = draw_detections(image(600, 400), detections(alone + dense, [8] + [3] * len(dense)), LABELS)
    panel = legend(drawn)
    assert panel is not None
    assert panel[0] > 300
    assert panel[1] > 200
    assert not find_text(drawn, "bus 0.50")


# Threads


def test_threads_draw_the_same_as_one_thread() -> None:
    rng = np.random.default_rng(3)
    corners = rng.uniform(0, 500, (80, 2))
    objects = detections(
        np.concatenate((corners, corners + 9), axis=1).tolist(),
        rng.integers(0, 10, 80).tolist(),
        rng.random(80).tolist(),
    )
    expected = draw_detections(image(520, 520), objects, LABELS)
    clear_caches()
    with ThreadPoolExecutor(8) as pool:
        for drawn in pool.map(lambda _: draw_detections(image(520, 520), objects, LABELS), range(16)):
            assert (drawn == expected).all()
