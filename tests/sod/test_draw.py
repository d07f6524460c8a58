from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sod import draw, fonts
from sod.detections import Detections
from sod.draw import draw_detections
from sod.palette import class_colour, text_colour

LABELS = ["pedestrian", "people", "bicycle", "car", "van", "truck", "tricycle", "awning-tricycle", "bus", "motorcycle"]
GREY = 90

Pixels = NDArray[np.uint8]


def image(width: int, height: int) -> Pixels:
    return np.full((height, width, 3), GREY, np.uint8)


def found(
    boxes: list[list[float]], class_ids: list[int] | None = None, scores: list[float] | None = None
) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array([0.5] * count if scores is None else scores, np.float32),
        np.array([0] * count if class_ids is None else class_ids, np.int32),
    )


def crowd(count: int, x: int, y: int, width: int, height: int) -> list[list[float]]:
    """Boxes of 8x8 side by side, one pixel apart, that fill an area: no room for a label between them."""
    columns, rows = width // 11, height // 11
    return [[x + 11 * c, y + 11 * r, x + 11 * c + 8, y + 11 * r + 8] for r in range(rows) for c in range(columns)][
        :count
    ]


def positions(drawn: Pixels, pattern: Pixels) -> list[tuple[int, int]]:
    """Where `pattern` [h, w, 3] lies in the image, pixel for pixel: (x, y)."""
    h, w = pattern.shape[:2]
    near = np.argwhere(cv2.matchTemplate(drawn, pattern, cv2.TM_SQDIFF_NORMED) < 0.01).tolist()
    return [(x, y) for y, x in near if (drawn[y : y + h, x : x + w] == pattern).all()]


def tag(text: str, class_id: int, drawn: Pixels) -> Pixels:
    return draw._tag(text, draw._Style.of(drawn.shape[1], drawn.shape[0]), class_colour(class_id))


def changed(drawn: Pixels) -> NDArray[np.bool_]:
    return np.asarray((drawn != GREY).any(axis=2))


small_boxes = st.lists(
    st.tuples(st.integers(0, 230), st.integers(0, 150), st.integers(1, 30), st.integers(1, 30)).map(
        lambda b: [float(b[0]), float(b[1]), float(b[0] + b[2]), float(b[1] + b[3])]
    ),
    min_size=1,
    max_size=30,
)


# Boxes


@pytest.mark.parametrize("class_id", [0, 3, 9, 10, 499])
def test_a_box_is_one_pixel_of_its_class_colour_just_outside_the_object(class_id: int) -> None:
    drawn = draw_detections(image(300, 200), found([[100.0, 80.0, 112.0, 90.0]], [class_id]), LABELS)
    window = drawn[79:91, 99:113]
    assert (drawn[80:90, 100:112] == GREY).all()
    assert (np.concatenate((window[0], window[-1], window[:, 0], window[:, -1])) == class_colour(class_id)).all()
    assert (drawn[78, 95:118] == GREY).all() or (drawn[91, 95:118] == GREY).all()  # the label is on one side only


def test_fractional_edges_are_rounded_outwards() -> None:
    drawn = draw_detections(image(300, 200), found([[100.6, 80.9, 111.2, 89.1]]), LABELS)
    assert (drawn[80:90, 100:112] == GREY).all()
    assert (drawn[80:90, 99] == class_colour(0)).all()
    assert (drawn[80:90, 112] == class_colour(0)).all()


def test_lines_are_thicker_on_a_large_image_and_still_outside_the_object() -> None:
    drawn = draw_detections(image(4000, 1000), found([[1000, 500, 1010, 510]], [1]), LABELS)
    assert (drawn[500:510, 1000:1010] == GREY).all()
    assert (drawn[500:510, 998:1000] == class_colour(1)).all()
    assert (drawn[500:510, 1010:1012] == class_colour(1)).all()


def test_the_best_score_is_drawn_on_top() -> None:
    boxes = [[50.0, 50.0, 60.0, 60.0]] * 3
    drawn = draw_detections(image(200, 200), found(boxes, [1, 2, 3], [0.4, 0.9, 0.6]), LABELS)
    assert (drawn[50:60, 49] == class_colour(2)).all()


def test_a_box_past_the_edge_is_closed_at_the_edge() -> None:
    drawn = draw_detections(image(300, 200), found([[-20, 150, 30, 260]], [5]), LABELS)
    assert (drawn[149:200, 0] == class_colour(5)).all()
    assert (drawn[199, 0:31] == class_colour(5)).all()
    assert (drawn[149:200, 30] == class_colour(5)).all()


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
    assert (draw_detections(image(300, 200), found([box]), LABELS) == GREY).all()


def test_corners_in_any_order_and_boxes_without_area_are_drawn() -> None:
    straight = draw_detections(image(300, 200), found([[10, 20, 50, 60]]), LABELS)
    swapped = draw_detections(image(300, 200), found([[50, 60, 10, 20]]), LABELS)
    assert (straight == swapped).all()
    assert changed(draw_detections(image(300, 200), found([[100.5, 70, 100.5, 70]]), LABELS))[68:72, 99:102].any()


# The array


def test_the_input_is_left_as_it_is_and_may_be_read_only_or_a_view() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (120, 300, 3), np.uint8)
    pixels.flags.writeable = False
    before = pixels.copy()
    view = pixels[::-1, ::2]
    drawn = draw_detections(view, found(crowd(60, 5, 5, 100, 80)), LABELS)
    assert (pixels == before).all()
    assert drawn.flags.writeable
    assert (drawn == draw_detections(np.ascontiguousarray(view), found(crowd(60, 5, 5, 100, 80)), LABELS)).all()


def test_in_place_it_is_the_same_image_in_the_same_memory() -> None:
    pixels = image(300, 200)
    detections = found(crowd(60, 5, 5, 200, 150))
    expected = draw_detections(pixels, detections, LABELS)
    assert draw_detections(pixels, detections, LABELS, in_place=True) is pixels
    assert (pixels == expected).all()
    for unfit in (pixels[:, ::2], np.frombuffer(pixels.tobytes(), np.uint8).reshape(pixels.shape)):
        with pytest.raises(ValueError, match="contiguous and writable"):
            draw_detections(unfit, detections, LABELS, in_place=True)


def test_no_detections_give_an_equal_new_image() -> None:
    pixels = image(30, 20)
    drawn = draw_detections(pixels, Detections.empty(), LABELS)
    assert (drawn == pixels).all()
    assert not np.shares_memory(drawn, pixels)


@pytest.mark.parametrize("pixels", [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3)), np.zeros((5, 5, 4), np.uint8)])
def test_another_kind_of_array_is_refused(pixels: Pixels) -> None:
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
    detections = found([box for box, _, _ in objects], [c for _, _, c in objects], [score for _, score, _ in objects])
    drawn = draw_detections(pixels, detections, labels)
    assert drawn.dtype == np.uint8
    assert drawn.shape == pixels.shape
    assert (pixels == GREY).all()


# Labels


def test_a_label_touches_its_box() -> None:
    drawn = draw_detections(image(300, 200), found([[100, 80, 112, 90]], [3], [0.816]), LABELS)
    expected = tag("car 0.82", 3, drawn)
    ((x, y),) = positions(drawn, expected)
    assert y + expected.shape[0] == 79
    assert x == 99


def check_no_label_covers_a_box(boxes: list[list[float]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draw, "_LEGEND_SHARE", 0.0)  # a legend may cover boxes, a label never
        drawn = draw_detections(image(260, 180), found(boxes), ["a"])
    inside, lines = np.zeros((2, 180, 260), np.bool_)
    for x0, y0, x1, y1 in np.array(boxes, int).tolist():
        inside[y0:y1, x0:x1] = True
        ring = np.zeros((180, 260), np.uint8)
        cv2.rectangle(ring, (max(x0 - 1, 0), max(y0 - 1, 0)), (min(x1, 259), min(y1, 179)), 1, 1)
        lines |= ring.astype(np.bool_)
    assert not changed(drawn)[inside & ~lines].any()
    assert (drawn[lines] == class_colour(0)).all()


def check_labels_share_no_pixel(boxes: list[list[float]], cell: int) -> int:
    """Returns how many labels are led to by a line."""
    rings, shown = draw._rings(np.array(boxes, np.float32), 260, 180, 1)
    tags = [np.zeros((5 * cell, 14 * cell, 3), np.uint8)] * len(shown)
    seen = np.zeros((180, 260), int)
    places = [place for place in draw._place(rings, tags, 260, 180, cell) if place is not None]
    for place in places:
        for x0, y0, x1, y1 in place:
            assert 0 <= x0 <= x1 <= 260
            assert 0 <= y0 <= y1 <= 180
            seen[y0:y1, x0:x1] += 1
    assert seen.max() <= 1
    return sum(place.leader[0] < place.leader[2] and place.leader[1] < place.leader[3] for place in places)


@settings(max_examples=50, deadline=None)
@given(small_boxes)
def test_no_label_covers_a_box(boxes: list[list[float]]) -> None:
    check_no_label_covers_a_box(boxes)


@settings(max_examples=50, deadline=None)
@given(small_boxes, st.integers(1, 3))
def test_labels_share_no_pixel(boxes: list[list[float]], cell: int) -> None:
    check_labels_share_no_pixel(boxes, cell)


@pytest.mark.parametrize("seed", range(8))
def test_labels_and_their_leaders_keep_clear_in_a_dense_scene(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.integers((20, 20), (220, 150), (80, 2))
    boxes = np.concatenate((corners, corners + rng.integers(4, 16, (80, 2))), axis=1).astype(float).tolist()
    check_no_label_covers_a_box(boxes)
    assert check_labels_share_no_pixel(boxes, 1) > 0


def test_a_label_steps_aside_on_a_line_where_its_box_is_walled_in() -> None:
    """Neighbours on all four sides: the label finds a place behind them only where a straight line gets out."""
    drawn = draw_detections(
        image(300, 200),
        found([[140, 100, 152, 106], [100, 88, 190, 97], [130, 97, 138, 110], [154, 97, 162, 110]], [3, 0, 0, 0]),
        ["a", "b", "c", "car"],
    )
    expected = tag("car 0.50", 3, drawn)
    ((_, y),) = positions(drawn, expected)
    assert y > 107
    assert (drawn[107:y, 140:152] == class_colour(3)).all(axis=2).any(axis=1).all()


def test_the_best_score_gets_the_only_place() -> None:
    boxes = [[0.0, 16.0, 60.0, 30.0]] * 2  # one label fits above, none below
    for scores in ([0.31, 0.97], [0.97, 0.31]):
        drawn = draw_detections(image(60, 31), found(boxes, scores=scores), ["abcdef"])
        assert len(positions(drawn, tag("abcdef 0.97", 0, drawn))) == 1
        assert not positions(drawn, tag("abcdef 0.31", 0, drawn))


def test_a_big_box_without_room_around_it_is_labelled_inside() -> None:
    drawn = draw_detections(image(400, 300), found([[0, 0, 400, 300]], [3]), LABELS)
    assert positions(drawn, tag("car 0.50", 3, drawn)) == [(1, 1)]
    occupied = found([[0, 0, 400, 300], [5, 5, 15, 15]], [3, 0])
    drawn = draw_detections(image(400, 300), occupied, LABELS)
    ((x, _),) = positions(drawn, tag("car 0.50", 3, drawn))
    assert x > 100


@pytest.mark.parametrize("name", ["🚗", "\ud800", "a\x00b", "مشاة", "a 🚗"])
def test_a_name_that_cannot_be_drawn_gives_way_to_the_class_id(name: str) -> None:
    boxes = found([[100, 80, 112, 90]], [1])
    assert (
        draw_detections(image(300, 200), boxes, ["x", name]) == draw_detections(image(300, 200), boxes, ["x", "1"])
    ).all()


def test_a_missing_name_is_the_class_id_and_a_long_one_is_cut() -> None:
    boxes = found([[100, 80, 112, 90]], [1])
    drawn = draw_detections(image(400, 200), boxes, ["x"])
    assert positions(drawn, tag("1 0.50", 1, drawn))
    drawn = draw_detections(image(400, 200), boxes, ["x", "two\nlines " + "e" * 99])
    assert positions(drawn, tag("two lines " + "e" * 21 + "… 0.50", 1, drawn))


# Legend


def dimmed(drawn: Pixels) -> NDArray[np.bool_]:
    return np.asarray((drawn == draw._LEGEND_DIM[GREY]).all(axis=2))


def test_no_legend_while_every_box_has_its_label() -> None:
    drawn = draw_detections(image(600, 400), found([[100, 80, 112, 90], [300, 200, 309, 208]], [0, 3]), LABELS)
    assert len(positions(drawn, tag("pedestrian 0.50", 0, drawn))) == 1
    assert len(positions(drawn, tag("car 0.50", 3, drawn))) == 1
    assert not dimmed(drawn).any()


@pytest.mark.parametrize("free", ["top left", "top right", "bottom left", "bottom right"])
def test_the_legend_takes_the_corner_without_boxes_and_counts_by_class(free: str) -> None:
    corners = {"top left": (2, 2), "top right": (450, 2), "bottom left": (2, 300), "bottom right": (450, 300)}
    x_free, y_free = corners.pop(free)
    boxes = [box for x, y in corners.values() for box in crowd(72, x, y, 140, 95)]
    class_ids = [3 if index % 4 else 7 for index in range(216)]
    drawn = draw_detections(image(600, 400), found(boxes, class_ids), LABELS)
    rows, columns = np.nonzero(dimmed(drawn))
    assert len(rows) > 500
    assert (abs(rows - y_free) < 100).all()
    assert (abs(columns - x_free) < 150).all()
    panel = drawn[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    for class_id, text in ((3, "car 162"), (7, "awning-tricycle 54")):
        mask = fonts.text_mask(text, 10)
        ink = np.empty((*mask.shape, 3), np.uint8)
        ink[:] = draw._LEGEND_DIM[GREY]
        draw._write(ink, mask, 0, 0, draw._LEGEND_INK)
        assert len(positions(panel, ink)) == 1
        assert (panel == class_colour(class_id)).all(axis=2).sum() >= 60


def test_boxes_stay_visible_on_the_legend() -> None:
    boxes = crowd(10000, 1, 1, 599, 399)
    drawn = draw_detections(image(600, 400), found(boxes, [3] * len(boxes)), LABELS)
    assert dimmed(drawn).any()
    for x0, y0, x1, y1 in np.array(boxes, int).tolist():
        assert (drawn[y0 - 1, x0 - 1 : x1 + 1] == class_colour(3)).all()
        assert (drawn[y0 - 1 : y1 + 1, x1] == class_colour(3)).all()


def test_no_legend_where_it_would_fill_the_image() -> None:
    boxes = crowd(100, 1, 1, 150, 50)
    drawn = draw_detections(image(150, 50), found(boxes, [7] * len(boxes)), LABELS)
    assert not dimmed(drawn).any()
    drawn = draw_detections(image(150, 100), found(boxes, [7] * len(boxes)), LABELS)
    assert dimmed(drawn).any()


def test_a_label_under_the_legend_is_left_out() -> None:
    places: list[draw._Place | None] = [
        draw._Place([x, y, x + 20, y + 10], [x, y, x, y]) for x in (20, 360) for y in (15, 275)
    ]
    rings = np.array([[5, 5, 15, 15], [380, 5, 390, 15], [5, 280, 15, 290]], np.int32)
    draw._draw_legend(image(400, 300), [((0, 0, 255), "car 9")], rings, places, draw._Style.of(400, 300))
    assert [place is None for place in places] == [False, False, False, True]


# Threads


def test_threads_draw_what_one_thread_draws() -> None:
    rng = np.random.default_rng(3)
    corners = rng.uniform(0, 500, (80, 2))
    detections = found(
        np.concatenate((corners, corners + 9), axis=1).tolist(),
        rng.integers(0, 10, 80).tolist(),
        rng.random(80).tolist(),
    )
    expected = draw_detections(image(520, 520), detections, LABELS)
    for cache in (draw._tag, fonts.text_mask, fonts._word, fonts._line, fonts.face_of, fonts._has_glyph, fonts._load):
        cache.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        for drawn in pool.map(lambda _: draw_detections(image(520, 520), detections, LABELS), range(16)):
            assert (drawn == expected).all()


# Palette


def test_the_colours_of_the_ten_classes_are_apart_for_colour_blind_eyes_too() -> None:
    """Distances in OKLab of what is seen with normal sight, protanopia and deuteranopia (Machado 2009)."""
    linear = (np.array([class_colour(class_id)[::-1] for class_id in range(10)]) / 255) ** 2.2
    sights = [
        np.eye(3),
        np.array([[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]]),
        np.array([[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]]),
    ]
    to_lms = np.array([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]])
    to_lab = np.array([[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]])
    for sight in sights:
        lab = np.cbrt(np.clip(linear @ sight.T, 0, 1) @ to_lms.T) @ to_lab.T
        distance = np.linalg.norm(lab[:, None] - lab[None], axis=2) + np.eye(10)
        assert distance.min() > 0.05


def test_every_class_id_has_its_own_text_contrast_and_neighbours_differ() -> None:
    for class_id in range(-3, 400):
        colour = class_colour(class_id)
        light, dark = sorted(
            (
                sum(share * (channel / 255) ** 2.2 for share, channel in zip((0.0722, 0.7152, 0.2126), c, strict=True))
                for c in (colour, text_colour(colour))
            ),
            reverse=True,
        )
        assert (light + 0.05) / (dark + 0.05) > 3, class_id
        assert colour != class_colour(class_id + 1)
