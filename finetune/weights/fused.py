"""Weights of an exported detector as parameters to train on, by the names that ppdet and the twin share.

An export holds every convolution fused with its batch norm. Here the fused kernel becomes the convolution's, and the
batch norm one that changes nothing; of a RepVGG pair the 1x1 gets half of the middle tap.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from finetune.errors import FinetuneError
from finetune.weights.onnx_weights import Array

_EPSILON = np.float32(1e-5)  # of batch norms


@dataclass(frozen=True, slots=True)
class Unit:
    """What is one convolution once exported: a convolution with a batch norm, a RepVGG pair, or a plain convolution.

    Attributes:
        name: of its parameters, without what follows the last dot.
        kind: which of the three.
        kernel: the convolution's shape, [outputs, inputs, height, width].
        alpha: whether the 1x1 of a pair has a weight.
    """

    name: str
    kind: Literal["normed", "pair", "plain"]
    kernel: tuple[int, ...]
    alpha: bool = False


def parameters(stored: dict[str, Array], units: Sequence[Unit]) -> dict[str, Array]:
    """Parameters by name, float32; statistics of batch norms as `_mean` and `_variance`, as Paddle calls them.

    Args:
        stored: as `finetune.weights.onnx_weights.read` gives it.
        units: in the order in which they run.

    Raises:
        FinetuneError: the weights are of another architecture.
    """
    kernels = [value for name, value in stored.items() if name.startswith("conv.") and name.endswith(".weight")]
    if [unit.kernel for unit in units] != [kernel.shape for kernel in kernels]:
        msg = f"the weights are of another architecture: {len(kernels)} convolutions where {len(units)} are expected"
        raise FinetuneError(msg)
    found: dict[str, Array] = {}
    for i, (unit, kernel) in enumerate(zip(units, kernels, strict=True)):
        bias = stored[f"conv.{i}.bias"]
        if unit.kind == "plain":
            found |= {f"{unit.name}.weight": kernel, f"{unit.name}.bias": bias}
        elif unit.kind == "normed":
            found |= dict(_normed(unit.name, kernel, bias))
        else:
            point = kernel[:, :, 1:2, 1:2] / 2
            rest = kernel.copy()
            rest[:, :, 1:2, 1:2] -= point
            found |= dict(_normed(f"{unit.name}.conv1", rest, bias))
            found |= dict(_normed(f"{unit.name}.conv2", point, np.zeros_like(bias)))
            if unit.alpha:
                found[f"{unit.name}.alpha"] = np.ones(1, np.float32)
    layers = sum(name.startswith("encoder.multi_head_attention_") and name.endswith(".w_0") for name in stored)
    return found | {name: stored[key] for key, name in encoder_names(layers)}


def encoder_names(layers: int) -> Iterator[tuple[str, str]]:
    """Key in an export, and name of the parameter, of all weights of the transformer encoder."""
    for i in range(layers):
        layer = f"neck.encoder.layers.{i}"
        yield f"encoder.multi_head_attention_{i}.w_0", f"{layer}.self_attn.in_proj_weight"
        yield f"encoder.multi_head_attention_{i}.b_0", f"{layer}.self_attn.in_proj_bias"
        for j, part in enumerate(("self_attn.out_proj", "linear1", "linear2"), 3 * i):
            yield f"encoder.linear_{j}.w_0", f"{layer}.{part}.weight"
            yield f"encoder.linear_{j}.b_0", f"{layer}.{part}.bias"
        for j, part in enumerate(("norm1", "norm2"), 2 * i):
            yield f"encoder.layer_norm_{j}.w_0", f"{layer}.{part}.weight"
            yield f"encoder.layer_norm_{j}.b_0", f"{layer}.{part}.bias"


def _normed(name: str, kernel: Array, bias: Array) -> Iterator[tuple[str, Array]]:
    yield f"{name}.conv.weight", kernel
    yield f"{name}.bn.weight", np.ones_like(bias)
    yield f"{name}.bn.bias", bias
    yield f"{name}.bn._mean", np.zeros_like(bias)
    yield f"{name}.bn._variance", np.full_like(bias, 1 - _EPSILON)
