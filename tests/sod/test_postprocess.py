"""The model `postprocess` on the raw output of a detector."""

import sys
import types
from typing import Any

import numpy as np
import pytest

from sod.errors import SodError
from sod.nms import NmsConfig


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", types.ModuleType("triton_python_backend_utils"))
    from sod.triton.postprocess import TritonPythonModel

    model = TritonPythonModel()
    model._nms = NmsConfig(keep_top_k=2)
    return model


def test_inverted_boxes_are_left_out_after_nms(model: Any) -> None:
    # The inverted box has the best score: it takes one of the two places, as it does in PaddleX.
    boxes = np.array([[[30, 10, 20, 20], [0, 0, 10, 10], [40, 40, 50, 50]]], np.float32)
    outputs = model._compute({
        "raw_boxes": boxes,
        "raw_scores": np.array([[[0.9, 0.8, 0.7]]], np.float32),
        "scale_factor": np.ones((1, 2), np.float32),
        "score_threshold": np.array([[0.5]], np.float32),
        "error": np.array([[b""]], object),
    })  # fmt: skip
    assert outputs["num_detections"].tolist() == [[1]]
    assert outputs["boxes"].tolist() == [[[0, 0, 10, 10]]]


def van(images: int) -> dict[str, np.ndarray[Any, Any]]:
    """One vehicle in each image, found as 0 (0.6) and as 1 (0.4), in boxes whose IoU is 0.8."""
    return {
        "raw_boxes": np.array([[[0, 0, 10, 10], [0, 0, 10, 8]]] * images, np.float32),
        "raw_scores": np.array([[[0.6, 0], [0, 0.4]]] * images, np.float32),
        "scale_factor": np.ones((images, 2), np.float32),
        "score_threshold": np.full((images, 2), 0.3, np.float32),
    }


def test_each_image_of_a_request_has_its_own_options(model: Any) -> None:
    agnostic = np.array([[False], [True], [True]])
    counts = model._compute({**van(3), "class_agnostic": agnostic})["num_detections"]
    assert counts.tolist() == [[2], [1], [1]]
    iou = np.array([[0.5], [0.5], [0.9]], np.float32)
    counts = model._compute({**van(3), "class_agnostic": agnostic, "iou_threshold": iou})["num_detections"]
    assert counts.tolist() == [[2], [1], [2]]


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_an_iou_threshold_outside_its_range_is_refused(model: Any, value: float) -> None:
    with pytest.raises(SodError, match=r"iou_threshold is .*; send a number from 0 to 1"):
        model._compute({**van(1), "iou_threshold": np.array([[value]], np.float32)})
