"""Merging the detections of slices, compared with SAHI's algorithm written with all pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sod.detections import Detections
from sod.merging import Combine, MatchMetric, MergeOptions, merge

NONE = MergeOptions("none")


def detections(*rows: tuple[float, ...]) -> Detections:
    """Rows of x1, y1, x2, y2, score, class id."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int32))


def rows(found: Detections) -> list[tuple[float, ...]]:
    return [
        (*box, score, class_id)
        for box, score, class_id in zip(
            found.boxes.tolist(), found.scores.tolist(), found.class_ids.tolist(), strict=True
        )
    ]


def crowd(seed: int, count: int, side: float, *, ties: bool = False) -> Detections:
    random = np.random.default_rng(seed)
    corners, sizes = random.uniform(0, side, (count, 2)), random.uniform(1, 60, (count, 2))
    scores = random.random(count)
    if ties:
        corners, sizes, scores = np.round(corners), np.round(sizes) + 1, np.round(scores, 1)
    boxes = np.concatenate([corners, corners + sizes], axis=1).astype(np.float32)
    return Detections(boxes, scores.astype(np.float32), random.integers(0, 3, count).astype(np.int32))


def overlap(a: NDArray[np.float32], b: NDArray[np.float32], metric: MatchMetric) -> float:
    sides = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    intersection, areas = np.prod(sides), (np.prod(a[2:] - a[:2]), np.prod(b[2:] - b[:2]))
    whole = min(areas) if metric == "ios" else areas[0] + areas[1] - intersection
    return float(intersection / whole) if whole > 0 else 0.0


def reference(found: Detections, options: MergeOptions) -> list[tuple[float, ...]]:
    """Greedy NMS and NMM as SAHI 0.12.8 defines them (sahi/postprocess/combine.py), one box after the other."""
    x1, y1, x2, y2 = found.boxes.T
    left = list(np.lexsort((found.class_ids, y2, x2, y1, x1, -found.scores)))
    result = []
    while left:
        best = left.pop(0)
        same = [i for i in left if options.class_agnostic or found.class_ids[i] == found.class_ids[best]]
        matches = [i for i in same if overlap(found.boxes[best], found.boxes[i], options.metric) >= options.threshold]
        left = [i for i in left if i not in matches]
        box = found.boxes[best].copy()
        for i in matches if options.combine == "nmm" else []:
            if overlap(box, found.boxes[i], options.metric) >= options.threshold:
                box = np.concatenate([np.minimum(box[:2], found.boxes[i, :2]), np.maximum(box[2:], found.boxes[i, 2:])])
        result.append((*box.tolist(), float(found.scores[best]), int(found.class_ids[best])))
    return result


@pytest.mark.parametrize("combine", ["nms", "nmm"])
@pytest.mark.parametrize("metric", ["ios", "iou"])
@pytest.mark.parametrize("class_agnostic", [False, True])
@settings(max_examples=10, deadline=None)
@given(
    st.integers(0, 2**32), st.integers(1, 60), st.sampled_from([60, 300, 3000]), st.booleans(), st.floats(0.05, 0.95)
)
def test_it_is_sahis_greedy_algorithm(  # noqa: PLR0917 - hypothesis gives them by position
    combine: Combine,
    metric: MatchMetric,
    class_agnostic: bool,
    seed: int,
    count: int,
    side: float,
    ties: bool,
    threshold: float,
) -> None:
    found = crowd(seed, count, side, ties=ties)
    options = MergeOptions(combine, metric, threshold, class_agnostic)
    ours, expected = sorted(rows(merge(found, options))), sorted(reference(found, options))
    assert len(ours) == len(expected)
    np.testing.assert_allclose(ours, expected)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["nms", "nmm", "none"]), st.booleans())
def test_the_order_of_the_slices_does_not_matter(seed: int, combine: Combine, ties: bool) -> None:
    found = crowd(seed, 80, 200, ties=ties)
    random = np.random.default_rng(seed)
    cut = random.random((len(found), 4)) < 0.1
    shuffled = random.permutation(len(found))
    other = Detections(found.boxes[shuffled], found.scores[shuffled], found.class_ids[shuffled])
    options = MergeOptions(combine)
    assert rows(merge(found, options, cut)) == rows(merge(other, options, cut[shuffled]))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_suppression_is_idempotent(seed: int) -> None:
    once = merge(crowd(seed, 80, 200), MergeOptions("nms"))
    assert rows(merge(once, MergeOptions("nms"))) == rows(once)


def test_results_are_sorted_as_detections_are() -> None:
    found = merge(crowd(1, 200, 2000), NONE)
    keys = [(row[5], -row[4]) for row in rows(found)]
    assert keys == sorted(keys)
    assert len(found) == 200


def test_nothing() -> None:
    assert len(merge(Detections.empty(), MergeOptions())) == 0
    assert len(merge(Detections.empty(), MergeOptions(), np.zeros((0, 4), np.bool_))) == 0


@pytest.mark.parametrize("combine", ["nms", "nmm"])
def test_a_box_that_a_border_cuts_yields_to_the_whole_one(combine: Combine) -> None:
    part, whole = (90.0, 10.0, 100.0, 30.0, 0.9, 0), (90.0, 10.0, 114.0, 30.0, 0.6, 0)
    cut = np.array([[False, False, True, False], [False, False, False, False]])
    found = merge(detections(part, whole), MergeOptions(combine), cut)
    assert found.boxes.tolist() == [list(whole[:4])]


LEFT, TOP, RIGHT, BOTTOM = np.eye(4, dtype=np.bool_)


@pytest.mark.parametrize(
    ("parts", "cut"),
    [
        ([(50, 10, 100, 30), (96, 11, 160, 30)], [RIGHT, LEFT]),
        ([(50, 10, 100, 30), (100, 11, 160, 30)], [RIGHT, LEFT]),
        ([(10, 50, 30, 100), (11, 98, 30, 160)], [BOTTOM, TOP]),
        (
            [(50, 50, 100, 100), (98, 50, 160, 100), (50, 98, 100, 160), (98, 98, 160, 160)],
            [RIGHT | BOTTOM, LEFT | BOTTOM, RIGHT | TOP, LEFT | TOP],
        ),
    ],
    ids=["thin overlap", "no overlap", "one above the other", "corner"],
)
def test_parts_of_an_object_that_no_slice_holds_are_joined(
    parts: list[tuple[float, ...]], cut: list[NDArray[np.bool_]]
) -> None:
    given_parts = detections(*((*part, 0.5 + index / 10, 2) for index, part in enumerate(parts)))
    found = merge(given_parts, MergeOptions(), np.array(cut))
    corners = np.array(parts)
    assert found.boxes.tolist() == [[*corners[:, :2].min(axis=0), *corners[:, 2:].max(axis=0)]]
    assert found.scores.tolist() == [pytest.approx(0.4 + len(parts) / 10)]


@pytest.mark.parametrize(
    ("second", "cut"),
    [
        ((98, 40, 160, 60, 0.5, 0), [RIGHT, LEFT]),
        ((98, 10, 160, 30, 0.5, 1), [RIGHT, LEFT]),
        ((98, 10, 160, 30, 0.5, 0), [RIGHT, RIGHT]),
        ((120, 10, 160, 30, 0.5, 0), [RIGHT, LEFT]),
    ],
    ids=["beside it", "another class", "both cut on one side", "far away"],
)
def test_other_boxes_at_a_border_stay_apart(second: tuple[float, ...], cut: list[NDArray[np.bool_]]) -> None:
    found = detections((50, 10, 100, 30, 0.9, 0), second)
    assert len(merge(found, MergeOptions(), np.array(cut))) == 2
