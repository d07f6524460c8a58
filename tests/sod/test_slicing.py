"""The grid of slices, and boxes at its borders."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sod.slicing import Slice, count_slices, slice_grid

SIDES = st.integers(1, 3000)
SHARES = st.floats(0, 0.9)


@given(SIDES, SIDES, st.integers(20, 900), st.integers(20, 900), SHARES, SHARES)
def test_slices_cover_the_image_and_are_equal(  # noqa: PLR0917 - hypothesis gives them by position
    width: int, height: int, slice_width: int, slice_height: int, across: float, down: float
) -> None:
    size, overlap = (slice_width, slice_height), (across, down)
    if count_slices((width, height), size, overlap) > 2000:
        return
    slices = slice_grid((width, height), size, overlap)
    assert len(slices) == len(set(slices)) == count_slices((width, height), size, overlap)
    assert {(one.width, one.height) for one in slices} == {(min(slice_width, width), min(slice_height, height))}
    covered = np.zeros((height, width), np.bool_)
    for one in slices:
        assert 0 <= one.x <= width - one.width
        assert 0 <= one.y <= height - one.height
        covered[one.y : one.y + one.height, one.x : one.x + one.width] = True
    assert covered.all()


def test_the_overlap_is_at_least_what_is_asked_for() -> None:
    columns = sorted({one.x for one in slice_grid((3840, 2160), (640, 640), (0.25, 0.25))})
    assert columns == [0, 480, 960, 1440, 1920, 2400, 2880, 3200]
    assert {one.y for one in slice_grid((3840, 2160), (640, 640), (0.25, 0.25))} == {0, 480, 960, 1440, 1520}


def test_an_image_of_one_slice() -> None:
    assert slice_grid((640, 480), (640, 640), (0.25, 0.25)) == [Slice(0, 0, 640, 480)]


def test_a_view_shares_the_pixels() -> None:
    image = np.zeros((30, 40, 3), np.uint8)
    view = Slice(10, 5, 20, 15).view(image)
    assert view.shape == (15, 20, 3)
    assert np.shares_memory(view, image)


@pytest.mark.parametrize(
    ("box", "cut"),
    [
        ((120, 120, 180, 180), (False, False, False, False)),
        ((101, 120, 180, 180), (True, False, False, False)),
        ((120, 100, 180, 180), (False, True, False, False)),
        ((120, 120, 199, 180), (False, False, True, False)),
        ((120, 120, 180, 200), (False, False, False, True)),
        ((90, 90, 210, 210), (True, True, True, True)),
    ],
)
def test_sides_that_an_inner_border_cuts(box: tuple[int, ...], cut: tuple[bool, ...]) -> None:
    boxes = np.array([box], np.float32)
    assert Slice(100, 100, 100, 100).cut_sides(boxes, (1000, 1000)).tolist() == [list(cut)]
    at_the_corner = Slice(100, 100, 100, 100).cut_sides(boxes, (200, 200))
    assert at_the_corner.tolist() == [[cut[0], cut[1], False, False]], "the image's own edge cuts nothing of ours"
