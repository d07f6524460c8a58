"""Nothing is lost or found twice at the borders of slices, wherever an object lies and however large it is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sod.detections import Detections
from sod.merging import Combine, MergeOptions, merge
from sod.slicing import slice_grid

IMAGE = (1000, 700)  # the last slices of a row and a column are moved back
SIDE = 200
_LEAST_SHARE = 0.1  # of the object that a slice must show for a detector to find it


def found_in_slices(box: list[float], overlap: float, combine: Combine) -> Detections:
    """What an ideal detector finds of one object: in each slice the part that it shows."""
    boxes, cut = [], []
    for one in slice_grid(IMAGE, (SIDE, SIDE), (overlap, overlap)):
        left, top = max(box[0], one.x), max(box[1], one.y)
        right, bottom = min(box[2], one.x + one.width), min(box[3], one.y + one.height)
        area = (box[2] - box[0]) * (box[3] - box[1])
        if right > left and bottom > top and (right - left) * (bottom - top) >= _LEAST_SHARE * area:
            part = np.array([[left, top, right, bottom]], np.float32)
            boxes.append(part)
            cut.append(one.cut_sides(part, IMAGE))
    together = np.concatenate(boxes)
    count = len(together)
    detections = Detections(together, np.linspace(0.9, 0.6, count).astype(np.float32), np.zeros(count, np.int32))
    return merge(detections, MergeOptions(combine), np.concatenate(cut))


@pytest.mark.parametrize("combine", ["nms", "nmm"])
@settings(max_examples=300, deadline=None)
@given(st.integers(4, 48), st.integers(4, 48), st.floats(0, 1), st.floats(0, 1))
def test_an_object_that_fits_into_the_overlap_is_found_once_and_whole(
    combine: Combine, width: int, height: int, across: float, down: float
) -> None:
    x, y = round(across * (IMAGE[0] - width)), round(down * (IMAGE[1] - height))
    box = [x, y, x + width, y + height]
    assert found_in_slices(box, 0.25, combine).boxes.tolist() == [box]


@pytest.mark.parametrize("combine", ["nms", "nmm"])
@pytest.mark.parametrize("overlap", [0.0, 0.05, 0.25])
@settings(max_examples=300, deadline=None)
@given(st.integers(20, 150), st.integers(20, 150), st.floats(0, 1), st.floats(0, 1))
def test_an_object_larger_than_the_overlap_is_found_once(  # noqa: PLR0917 - hypothesis gives them by position
    combine: Combine, overlap: float, width: int, height: int, across: float, down: float
) -> None:
    """Also at corners, where up to four slices show a part, and beside slices that are moved back."""
    x, y = round(across * (IMAGE[0] - width)), round(down * (IMAGE[1] - height))
    found = found_in_slices([x, y, x + width, y + height], overlap, combine)
    assert len(found) == 1


def test_a_small_part_with_a_high_score_gives_way_to_a_larger_one() -> None:
    """Of a box that spans 100 to 280, slices show 100 to 200, 185 to 200, and 185 to 280."""
    boxes = np.array([[185, 10, 200, 60], [100, 10, 200, 60], [185, 10, 280, 60]], np.float32)
    cut = np.array([[True, False, True, False], [False, False, True, False], [True, False, False, False]])
    detections = Detections(boxes, np.array([0.9, 0.8, 0.7], np.float32), np.zeros(3, np.int32))
    merged = merge(detections, MergeOptions(), cut)
    assert merged.boxes.tolist() == [[100, 10, 280, 60]]
    assert merged.scores.tolist() == [np.float32(0.9)]
