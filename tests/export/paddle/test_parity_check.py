from pathlib import Path

import numpy as np
import pytest

from export.errors import CheckFailedError, ExportError
from export.onnx.runtime import onnx_detector
from export.paddle.parity_check import (
    Difference,
    add_mirrored,
    compare,
    compare_detections,
    parity_table,
    require_parity,
)
from export.precision import Limits
from export.verification.reference import Detector, RawOutputs, run_in_batches
from sod.detections import Detections

LIMITS = Limits(box=0.05, score=0.001)


def raw(images: int = 1, anchors: int = 5, classes: int = 2) -> RawOutputs:
    random = np.random.default_rng(0)
    boxes = random.uniform(0, 64, (images, anchors, 4)).astype(np.float32)
    return boxes, random.uniform(0, 1, (images, classes, anchors)).astype(np.float32)


def test_the_largest_difference_counts() -> None:
    boxes, scores = raw()
    moved, changed = boxes.copy(), scores.copy()
    moved[0, 3, 2] += 0.5
    moved[0, 1, 1] -= 0.25
    changed[0, 1, 4] -= 0.125
    difference = compare("x", (boxes, scores), (moved, changed))
    assert difference.box == pytest.approx(0.5, abs=1e-5)
    assert difference.score == pytest.approx(0.125, abs=1e-6)


def test_another_shape_never_passes() -> None:
    assert not compare("x", raw(2), raw(1)).within(Limits(1e9, 1e9))


def test_nan_never_passes() -> None:
    boxes, scores = raw()
    broken = scores.copy()
    broken[0, 0, 0] = np.nan
    assert not compare("x", (boxes, scores), (boxes, broken)).within(Limits(1e9, 1e9))


@pytest.mark.parametrize(
    ("box", "score", "passes"), [(0.05, 0.001, True), (0.051, 0.0, False), (0.0, 0.0011, False), (0.0, 0.0, True)]
)
def test_limits_hold_for_both(box: float, score: float, passes: bool) -> None:
    report = [Difference("fine", 0.0, 0.0), Difference("ONNX Runtime, batch 2", box, score)]
    table = parity_table(report, LIMITS).text()
    assert ("FAILED" in table) is not passes
    if passes:
        require_parity(report, LIMITS)
    else:
        with pytest.raises(CheckFailedError, match=r"\(ONNX Runtime, batch 2\); nothing was written"):
            require_parity(report, LIMITS)


def detections(boxes: np.ndarray, scores: np.ndarray, picks: list[tuple[int, int]]) -> Detections:  # type: ignore[type-arg]
    """Detections from (class, anchor) pairs."""
    anchors, classes = [a for _, a in picks], [c for c, _ in picks]
    return Detections(boxes[0, anchors], scores[0, classes, anchors], np.array(classes, np.int32))


def test_detections_are_found_among_the_anchors() -> None:
    boxes, scores = raw()
    rows = detections(boxes, scores, [(0, 4), (1, 2)])
    assert compare_detections("x", rows, (boxes, scores), LIMITS) == Difference("x (2 rows)", 0.0, 0.0)


def test_a_detection_of_another_class_is_not_found() -> None:
    boxes, scores = raw()
    rows = detections(boxes, scores, [(0, 4)])
    other = Detections(rows.boxes, rows.scores, np.array([1], np.int32))
    assert not compare_detections("x", other, (boxes, scores), LIMITS).within(LIMITS)


def test_a_detection_elsewhere_is_not_found() -> None:
    boxes, scores = raw()
    rows = detections(boxes, scores, [(1, 3)])
    other = Detections(rows.boxes + 1, rows.scores, rows.class_ids)
    assert compare_detections("x", other, (boxes, scores), LIMITS).box == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("given", "expected"), [(1, 4), (2, 4), (3, 4), (5, 5)])
def test_mirrored_images_are_added(given: int, expected: int) -> None:
    images = [np.random.default_rng(i).integers(0, 256, (6, 8, 3)).astype(np.uint8) for i in range(given)]
    stack = add_mirrored(images, 4)
    assert stack.shape == (expected, 6, 8, 3)
    np.testing.assert_array_equal(stack[:given], images)
    assert len({image.tobytes() for image in stack}) == expected


@pytest.mark.parametrize(("batch", "seen"), [(1, [1, 1, 1, 1, 1]), (2, [2, 2, 1]), (4, [4, 1])])
def test_batches_are_run_and_joined_in_order(batch: int, seen: list[int]) -> None:
    sizes: list[int] = []

    def run(pixels: np.ndarray) -> RawOutputs:  # type: ignore[type-arg]
        sizes.append(len(pixels))
        value = pixels[:, :1, 0, 0].astype(np.float32)
        return value[:, :, None], value[:, None]

    detector: Detector = run
    boxes, scores = run_in_batches(detector, np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1), batch)
    assert sizes == seen
    assert boxes.ravel().tolist() == scores.ravel().tolist() == [0, 1, 2, 3, 4]


def test_a_broken_detector_is_an_export_error(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ExportError, match="cannot load the detector"):
        onnx_detector(path)
