"""The windows of a scene, and merging while they are read."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("rasterio", reason="rasterio is not installed")

from sod_client._scenes.front import MergingFront
from sod_client._scenes.grid import Grid
from sod_client._shared import merging as shared
from sod_client._shared.detections import Detections
from sod_client._shared.slicing import Slice

from sod import merging, slicing
from sod.detections import Detections as ServerDetections

SIZES = st.integers(1, 3000)


@settings(max_examples=60, deadline=None)
@given(SIZES, SIZES, st.integers(32, 700), st.integers(32, 700), st.floats(0, 0.9), st.floats(0, 0.9))
def test_the_windows_are_the_servers_slices(  # noqa: PLR0917 - drawn by hypothesis
    width: int, height: int, slice_width: int, slice_height: int, across: float, down: float
) -> None:
    grid = Grid((width, height), (slice_width, slice_height), (across, down))
    if len(grid) > 5000:
        return
    expected = slicing.slice_grid((width, height), (slice_width, slice_height), (across, down))
    windows = [window for row in grid.rows() for window in row]
    assert [(w.x, w.y, w.width, w.height) for w in windows] == [(s.x, s.y, s.width, s.height) for s in expected]
    assert len(grid) == len(expected)
    boxes = np.random.default_rng(width).uniform(0, 700, (20, 4)).astype(np.float32)
    for window, one in zip(windows[:5], expected[:5], strict=True):
        np.testing.assert_array_equal(window.cut_sides(boxes, (width, height)), one.cut_sides(boxes, (width, height)))


@pytest.mark.parametrize("combine", ["nms", "nmm", "none"])
@pytest.mark.parametrize("metric", ["ios", "iou"])
@pytest.mark.parametrize("seed", range(6))
def test_merging_row_by_row_gives_what_the_server_merges_at_once(combine: str, metric: str, seed: int) -> None:
    """Boxes of a dense scene, many of them cut, some as large as the scene."""
    random = np.random.default_rng(seed)
    size = (1500, 2500)
    grid = Grid(size, (256, 256), (0.25, 0.25))
    options = shared.MergeOptions(combine, metric, 0.5)  # type: ignore[arg-type]
    front = MergingFront(options)
    boxes, scores, classes, cuts = [], [], [], []
    open_at_rows = []

    def add(area: slicing.Slice, count: int, cut_by: Slice | None) -> None:
        x, y, width, height = area.x, area.y, area.width, area.height
        corner = random.uniform((x, y), (x + width * 0.9, y + height * 0.9), (count, 2))
        other = np.minimum(corner + random.exponential(0.12 * min(width, 400), (count, 2)) + 2, (x + width, y + height))
        made = np.concatenate([corner, other], axis=1).astype(np.float32)
        score, kind = random.uniform(0.1, 1, count).astype(np.float32), random.integers(0, 3, count).astype(np.int32)
        cut = np.zeros((count, 4), bool) if cut_by is None else cut_by.cut_sides(made, size)
        front.add(Detections(made, score, kind), cut)
        for parts, part in zip((boxes, scores, classes, cuts), (made, score, kind, cut), strict=True):
            parts.append(part)

    add(slicing.Slice(0, 0, *size), 5, None)
    for row in grid.rows():
        front.advance(row[0].y)
        open_at_rows.append(front.open)
        for window in row:
            add(slicing.Slice(window.x, window.y, window.width, window.height), 6, window)
    merged = front.finish()
    expected = merging.merge(
        ServerDetections(np.concatenate(boxes), np.concatenate(scores), np.concatenate(classes)),
        merging.MergeOptions(combine, metric, 0.5),  # type: ignore[arg-type]
        np.concatenate(cuts),
    )
    np.testing.assert_array_equal(merged.boxes, expected.boxes)
    np.testing.assert_array_equal(merged.scores, expected.scores)
    np.testing.assert_array_equal(merged.class_ids, expected.class_ids)


def test_objects_far_above_the_front_are_not_kept_open() -> None:
    front = MergingFront(shared.MergeOptions())
    for y in range(0, 100_000, 100):
        front.advance(y)
        box = np.array([[10, y + 10, 40, y + 30]], np.float32)
        front.add(Detections(box, np.ones(1, np.float32), np.zeros(1, np.int32)), np.zeros((1, 4), bool))
        assert front.open <= 2
    assert len(front.finish()) == 1000
