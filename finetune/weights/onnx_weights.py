"""The weights of an exported ONNX detector, under the keys of `finetune.weights.paddle_program`.

Every convolution is fused with its batch norm there, every RepVGG pair is one convolution.
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

_CONVOLUTION = re.compile(r"p2o\.pd_op\.conv2d\.(\d+)\.0")  # the number is its place in the Paddle program
_ENCODER = re.compile(r"((?:linear|layer_norm)_\d+\.[wb]_0)")
_SLICE = re.compile(r"p2o\.pd_op\.slice\.(\d+)\.0")


def read(path: Path) -> dict[str, Array]:
    """The weights of a detector.

    Returns:
        `conv.K.weight` and `conv.K.bias` of the K-th convolution that runs; `encoder.NAME` by Paddle's parameter
        names, linear layers as [in, out].

    Raises:
        FinetuneError: it is no ONNX, or not one of the export's.
    """
    try:
        graph = onnx.load(str(path)).graph
    except DecodeError:
        msg = f"{path} is no ONNX"
        raise FinetuneError(msg) from None
    stored = {i.name: np.array(numpy_helper.to_array(i), np.float32) for i in graph.initializer}
    numbered = []
    for node in graph.node:
        match = _CONVOLUTION.fullmatch(node.name)
        if node.op_type == "Conv" and match and len(node.input) == 3:  # the projection of bins has no bias: it is fixed
            numbered.append((int(match[1]), node.input[1], node.input[2]))
    if not numbered:
        msg = f"{path} has no convolution as `python -m export` names them: give a detector that it wrote"
        raise FinetuneError(msg)
    found: dict[str, Array] = {}
    for number, (_, weight, bias) in enumerate(sorted(numbered)):
        found[f"conv.{number}.weight"], found[f"conv.{number}.bias"] = stored[weight], stored[bias]
    found |= {f"encoder.{m[1]}": value for name, value in stored.items() if (m := _ENCODER.match(name))}
    return found | _projections(stored)


def _projections(stored: dict[str, Array]) -> dict[str, Array]:
    """Queries', keys' and values' projections, which the ONNX holds apart and Paddle side by side."""
    slices = [(int(m[1]), value) for name, value in stored.items() if (m := _SLICE.fullmatch(name))]
    slices.sort(key=lambda item: item[0])
    weights = [value for _, value in slices if value.ndim == 2]
    biases = [value for _, value in slices if value.ndim == 1]
    found = {}
    for i in range(len(weights) // 3):
        found[f"encoder.multi_head_attention_{i}.w_0"] = np.concatenate(weights[3 * i : 3 * i + 3], 1)
        found[f"encoder.multi_head_attention_{i}.b_0"] = np.concatenate(biases[3 * i : 3 * i + 3])
    return found
