"""The model `postprocess` on the raw output of a detector."""

import sys
import types

import numpy as np
import pytest

from sod.nms import NmsConfig


def test_inverted_boxes_are_left_out_after_nms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", types.ModuleType("triton_python_backend_utils"))
    from sod.triton.postprocess import TritonPythonModel

    model = TritonPythonModel()
    model._nms = NmsConfig(keep_top_k=2)
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
