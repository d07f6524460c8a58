"""Our NMS against Paddle's own `multiclass_nms3` operator."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sod.nms import NmsConfig, multiclass_nms

Array = NDArray[np.float32]


@pytest.fixture(scope="module")
def paddle_nms():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import paddle
        from paddle import _C_ops
    paddle.set_device("cpu")

    def run(boxes: Array, scores: Array, config: NmsConfig) -> NDArray[np.float32]:
        """Rows of (class, score, x1, y1, x2, y2)."""
        out, _, _ = _C_ops.multiclass_nms3(
            paddle.to_tensor(boxes[None]),
            paddle.to_tensor(scores[None]),
            None,
            config.score_threshold,
            config.nms_top_k,
            config.keep_top_k,
            config.iou_threshold,
            True,
            1.0,
            -1,
        )
        return out.numpy()

    return run


def ours(boxes: Array, scores: Array, config: NmsConfig, threshold: float = 0.0) -> NDArray[np.float32]:
    detections = multiclass_nms(boxes, scores, np.full(len(scores), threshold, np.float32), config=config)
    return np.concatenate([detections.class_ids[:, None], detections.scores[:, None], detections.boxes], 1).astype(
        np.float32
    )


def crowd(rng: np.random.Generator, anchors: int, classes: int, spread: float = 640) -> tuple[Array, Array]:
    centres = rng.random((anchors, 2)) * spread
    sizes = rng.random((anchors, 2)) * 30 + 2
    boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], 1).astype(np.float32)
    return boxes, rng.random((classes, anchors)).astype(np.float32) ** 4


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("spread", [60, 640])
def test_equals_paddle_on_random_crowds(paddle_nms, seed, spread):
    boxes, scores = crowd(np.random.default_rng(seed), 2000, 10, spread)
    theirs = paddle_nms(boxes, scores, NmsConfig())
    assert len(theirs) == 500
    np.testing.assert_array_equal(ours(boxes, scores, NmsConfig()), theirs)


def test_equals_paddle_on_20000_candidates_of_one_class(paddle_nms):
    boxes, scores = crowd(np.random.default_rng(1), 20_000, 1, 1500)
    scores = np.maximum(scores, np.float32(0.02))
    theirs = paddle_nms(boxes, scores, NmsConfig())
    np.testing.assert_array_equal(ours(boxes, scores, NmsConfig()), theirs)


def test_equals_paddle_when_nms_top_k_limits_the_candidates(paddle_nms):
    # Of 20,000 near-copies of few boxes, the survivors depend on where the list is cut.
    rng = np.random.default_rng(2)
    boxes, scores = crowd(rng, 20_000, 2, 100)
    config = NmsConfig(nms_top_k=300, keep_top_k=1000)
    np.testing.assert_array_equal(ours(boxes, scores, config), paddle_nms(boxes, scores, config))


def test_equals_paddle_when_all_scores_tie(paddle_nms):
    boxes, scores = crowd(np.random.default_rng(3), 1500, 3)
    scores[:] = 0.5
    np.testing.assert_array_equal(ours(boxes, scores, NmsConfig()), paddle_nms(boxes, scores, NmsConfig()))


# A coarse grid makes ties, touching edges, zero areas, copies and inverted boxes common.
coordinate = st.integers(0, 6).map(float)
row = st.tuples(coordinate, coordinate, coordinate, coordinate)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_equals_paddle_on_adversarial_boxes(paddle_nms, data):
    rows = data.draw(st.lists(row, min_size=1, max_size=40))
    classes = data.draw(st.integers(1, 3))
    score = st.sampled_from([0.0, 0.01, 0.02, 0.3, 0.5, 0.9])
    flat = data.draw(st.lists(score, min_size=classes * len(rows), max_size=classes * len(rows)))
    boxes = np.array(rows, np.float32)
    scores = np.array(flat, np.float32).reshape(classes, len(rows))
    config = NmsConfig(
        iou_threshold=data.draw(st.sampled_from([0.0, 1 / 3, 0.5, 0.6, 1.0])),
        keep_top_k=data.draw(st.sampled_from([3, 500])),
        nms_top_k=data.draw(st.sampled_from([5, 10_000])),
    )
    theirs = paddle_nms(boxes, scores, config)
    theirs = theirs[theirs[:, 0] >= 0]  # Paddle marks an empty result by one row of -1
    np.testing.assert_array_equal(ours(boxes, scores, config), theirs.reshape(-1, 6))


def test_the_chunk_size_does_not_change_the_result(paddle_nms, monkeypatch):
    boxes, scores = crowd(np.random.default_rng(4), 700, 1, 80)
    whole = ours(boxes, scores, NmsConfig())
    monkeypatch.setattr("sod.nms._CHUNK", 7)
    np.testing.assert_array_equal(ours(boxes, scores, NmsConfig()), whole)
    np.testing.assert_array_equal(whole, paddle_nms(boxes, scores, NmsConfig()))


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.9])
def test_filtering_before_nms_equals_filtering_after(threshold):
    boxes, scores = crowd(np.random.default_rng(5), 1000, 10, 200)
    everything = ours(boxes, scores, NmsConfig(keep_top_k=100_000))
    before = ours(boxes, scores, NmsConfig(keep_top_k=100_000), threshold)
    np.testing.assert_array_equal(before, everything[everything[:, 1] > np.float32(threshold)])


def test_threshold_is_per_class_and_strict():
    boxes = np.array([[0, 0, 9, 9], [20, 20, 29, 29]], np.float32)
    scores = np.array([[0.5, 0.6], [0.5, 0.2]], np.float32)
    detections = multiclass_nms(boxes, scores, np.array([0.5, 0.1], np.float32))
    assert detections.class_ids.tolist() == [0, 1, 1]
    assert detections.scores.tolist() == pytest.approx([0.6, 0.5, 0.2])


def test_boxes_are_divided_by_the_scale_factor():
    boxes = np.array([[64, 32, 128, 64]], np.float32)
    detections = multiclass_nms(
        boxes, np.ones((1, 1), np.float32), np.zeros(1, np.float32), np.array([0.5, 2], np.float32)
    )
    assert detections.boxes.tolist() == [[32, 64, 64, 128]]


def agnostic(boxes: Array, scores: Array, config: NmsConfig, threshold: Array | None = None) -> NDArray[np.float32]:
    own = np.zeros(len(scores), np.float32) if threshold is None else threshold
    found = multiclass_nms(boxes, scores, own, config=replace(config, class_agnostic=True))
    return np.concatenate([found.class_ids[:, None], found.scores[:, None], found.boxes], 1).astype(np.float32)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_class_agnostic_equals_paddle_with_all_classes_as_one(paddle_nms, data):
    rows = data.draw(st.lists(row, min_size=1, max_size=30))
    classes = data.draw(st.integers(1, 4))
    score = st.sampled_from([0.0, 0.01, 0.02, 0.3, 0.5, 0.9])
    flat = data.draw(st.lists(score, min_size=classes * len(rows), max_size=classes * len(rows)))
    boxes, scores = np.array(rows, np.float32), np.array(flat, np.float32).reshape(classes, len(rows))
    config = NmsConfig(
        iou_threshold=data.draw(st.sampled_from([0.0, 1 / 3, 0.6, 1.0])),
        keep_top_k=data.draw(st.sampled_from([3, 500])),
    )
    # Every box once for each class, all in one class: then classes cannot keep objects apart.
    theirs = paddle_nms(np.tile(boxes, (classes, 1)), scores.reshape(1, -1), config)
    theirs = theirs[theirs[:, 0] >= 0]  # Paddle marks an empty result by one row of -1
    found = agnostic(boxes, scores, config)
    assert np.isin(found[:, 0], range(classes)).all()
    by_row = np.lexsort(found[:, 1:].T[::-1])
    np.testing.assert_array_equal(found[by_row, 1:], theirs[np.lexsort(theirs[:, 1:].T[::-1]), 1:])
    for class_id, *rest in found.tolist():
        anchors = np.flatnonzero((boxes == rest[1:]).all(axis=1))
        assert np.float32(rest[0]) in scores[int(class_id), anchors]


def iou(one: Array, others: Array) -> NDArray[np.float64]:
    sides = np.minimum(one[2:], others[:, 2:]) - np.maximum(one[:2], others[:, :2])
    inside = np.prod(np.maximum(sides, 0), axis=1)
    return np.asarray(inside / (np.prod(one[2:] - one[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - inside))


@pytest.mark.parametrize("threshold", [0.1, 0.6, 0.9])
def test_class_agnostic_leaves_no_pair_over_the_iou_and_drops_nothing_else(threshold):
    boxes, scores = crowd(np.random.default_rng(7), 1500, 5, 150)
    scores *= scores > 0.05
    found = agnostic(boxes, scores, NmsConfig(iou_threshold=threshold, keep_top_k=100_000))
    assert len(found)
    for index, one in enumerate(found):
        assert (iou(one[2:], np.delete(found[:, 2:], index, axis=0)) <= threshold + 1e-6).all()
    best = scores.max(axis=0)
    for box, score in zip(boxes[best > 0.05], best[best > 0.05], strict=True):
        better = found[found[:, 1] >= score, 2:]
        assert (better == box).all(axis=1).any() or (iou(box, better) > threshold - 1e-6).any()


def test_a_class_that_is_left_out_suppresses_nothing_and_takes_no_place():
    boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 9.5], [20, 20, 29, 29]], np.float32)
    scores = np.array([[0.9, 0, 0.9], [0, 0.5, 0.4]], np.float32)
    one_place = NmsConfig(keep_top_k=1)
    assert agnostic(boxes, scores, one_place)[:, 0].tolist() == [0]
    only = agnostic(boxes, scores, one_place, np.array([np.inf, 0.1], np.float32))
    assert only[:, :2].tolist() == [[1, 0.5]]


def test_no_candidates_give_an_empty_result():
    detections = multiclass_nms(np.zeros((8, 4), np.float32), np.zeros((3, 8), np.float32), np.zeros(3, np.float32))
    assert len(detections) == 0
    assert detections.boxes.shape == (0, 4)
