"""Weights read from an exported ONNX model."""

import numpy as np

from finetune.weights.onnx_weights import read
from tests.export.conftest import DEMO


def test_the_bundled_model_gives_all_weights() -> None:
    weights = read(DEMO)
    assert sum(value.size for value in weights.values()) > 2_000_000
    assert weights["conv.0.weight"].shape == (8, 3, 3, 3)
    assert weights["encoder.multi_head_attention_0.w_0"].shape == (256, 768)
    assert all(value.dtype == np.float32 for value in weights.values())
