"""Labels cover no box and no other label, and neither do the lines that lead to them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sod.drawing.label_placement import Placement, overlaps, place_around, place_inside, region

WIDTH, HEIGHT = 260, 180

Ints = NDArray[np.int32]

small_boxes = st.lists(
    st.tuples(st.integers(0, 230), st.integers(0, 150), st.integers(3, 30), st.integers(3, 30)).map(
        lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
    ),
    min_size=1,
    max_size=30,
).map(lambda boxes: np.array(boxes, np.int32))


def sizes(count: int, width: int, height: int) -> Ints:
    return np.array([[width, height]] * count, np.int32)


def check(outlines: Ints, cell: int) -> list[Placement]:
    """Check the placements of equal labels around outlines; return those of the labels that have a place."""
    size = sizes(len(outlines), 14 * cell, 5 * cell)
    placements = place_around(outlines, size, WIDTH, HEIGHT, cell)
    assert len(placements) == len(outlines)
    boxes = np.zeros((HEIGHT, WIDTH), np.bool_)
    for outline in outlines.tolist():
        region(boxes, outline)[:] = True
    drawn = np.zeros((HEIGHT, WIDTH), int)
    placed = [placement for placement in placements if placement is not None]
    for placement in placed:
        x0, y0, x1, y1 = placement.label
        assert (x1 - x0, y1 - y0) == (14 * cell, 5 * cell)
        for x0, y0, x1, y1 in placement:
            assert 0 <= x0 <= x1 <= WIDTH
            assert 0 <= y0 <= y1 <= HEIGHT
            drawn[y0:y1, x0:x1] += 1
    assert drawn.max() <= 1, "labels and lines share no pixel"
    assert not drawn[boxes].any(), "labels and lines cover no box"
    return placed


@settings(max_examples=100, deadline=None)
@given(small_boxes, st.integers(1, 3))
def test_labels_cover_no_box_and_no_label(outlines: Ints, cell: int) -> None:
    check(outlines, cell)


@pytest.mark.parametrize("seed", range(8))
def test_labels_of_a_dense_scene_are_placed_at_the_end_of_lines(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.integers((20, 20), (220, 150), (80, 2))
    outlines = np.concatenate((corners, corners + rng.integers(4, 16, (80, 2))), axis=1).astype(np.int32)
    placed = check(outlines, 1)
    assert any(p.leader[0] < p.leader[2] and p.leader[1] < p.leader[3] for p in placed)


def test_a_box_alone_has_its_label_directly_above() -> None:
    (placement,) = place_around(np.array([[100, 80, 112, 90]], np.int32), sizes(1, 40, 10), WIDTH, HEIGHT)
    assert placement is not None
    assert placement.label == [100, 70, 140, 80]
    assert region(np.zeros((HEIGHT, WIDTH)), placement.leader).size == 0


def test_the_first_label_chooses_first() -> None:
    outlines = np.array([[0, 16, 60, 30]] * 2, np.int32)  # one label fits above, none below
    first, second = place_around(outlines, sizes(2, 60, 14), 60, 31)
    assert first is not None
    assert second is None


def test_a_large_box_is_labelled_in_a_free_corner() -> None:
    outlines = np.array([[0, 0, 250, 170], [2, 2, 20, 20]], np.int32)
    size = sizes(2, 40, 10)
    placements: list[Placement | None] = [None, Placement([2, 20, 42, 30], [2, 20, 2, 20])]
    place_inside(outlines, size, placements, 1)
    assert placements[0] is not None
    label = np.array([placements[0].label], np.int32)
    assert overlaps(label, outlines).tolist() == [[True, False]]
    assert 0 <= label[0, 0] < label[0, 2] <= 250


def test_a_small_box_is_not_labelled_inside() -> None:
    placements: list[Placement | None] = [None]
    place_inside(np.array([[0, 0, 60, 60]], np.int32), sizes(1, 40, 10), placements, 1)
    assert placements == [None]
