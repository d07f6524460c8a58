"""Reads the weights of an exported ONNX detector, under the keys of `finetune.weights.paddle_program`.

The export has folded every batch norm into its convolution, and every RepVGG block into one convolution.
"""

import re
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper

from finetune.errors import FinetuneError

Array = NDArray[np.float32]

_CONVOLUTION = re.compile(r"p2o\.pd_op\.conv2d\.(\d+)\.0")  # numbered in the Paddle program's order
_ENCODER = re.compile(r"((?:linear|layer_norm)_\d+\.[wb]_0)")
_SLICE = re.compile(r"p2o\.pd_op\.slice\.(\d+)\.0")


def read(path: Path) -> dict[str, Array]:
    """Read the weights of a detector, float32.

    Returns:
        `conv.K.weight` and `conv.K.bias` for the K-th convolution in the order of execution; `encoder.NAME` for the
        transformer's, where NAME is Paddle's parameter name and linear layers are [in, out].

    Raises:
        FinetuneError: the file is not an ONNX model, or not one that `python -m export` wrote.
    """
    try:
        graph = onnx.load(str(path)).graph
    except DecodeError:
        msg = f"{path} is not an ONNX model"
        raise FinetuneError(msg) from None
    stored = {i.name: np.array(numpy_helper.to_array(i), np.float32) for i in graph.initializer}
    numbered = []
    for node in graph.node:
        match = _CONVOLUTION.fullmatch(node.name)
        # The projection of the distance bins is a convolution without a bias, and its weights are constants.
        if node.op_type == "Conv" and match and len(node.input) == 3:
            numbered.append((int(match[1]), node.input[1], node.input[2]))
    if not numbered:
        msg = f"{path} has no convolution with a name that `python -m export` gives: use a detector that it wrote"
        raise FinetuneError(msg)
    weights: dict[str, Array] = {}
    for number, (_, weight, bias) in enumerate(sorted(numbered)):
        weights[f"conv.{number}.weight"], weights[f"conv.{number}.bias"] = stored[weight], stored[bias]
    weights |= {f"encoder.{m[1]}": value for name, value in stored.items() if (m := _ENCODER.match(name))}
    return weights | _projections(stored)


def _projections(stored: dict[str, Array]) -> dict[str, Array]:
    """Projections of queries, keys and values, which are three tensors in the ONNX model and one in Paddle."""
    slices = [(int(m[1]), value) for name, value in stored.items() if (m := _SLICE.fullmatch(name))]
    slices.sort(key=lambda item: item[0])
    weights = [value for _, value in slices if value.ndim == 2]
    biases = [value for _, value in slices if value.ndim == 1]
    projections = {}
    for i in range(len(weights) // 3):
        projections[f"encoder.multi_head_attention_{i}.w_0"] = np.concatenate(weights[3 * i : 3 * i + 3], 1)
        projections[f"encoder.multi_head_attention_{i}.b_0"] = np.concatenate(biases[3 * i : 3 * i + 3])
    return projections
