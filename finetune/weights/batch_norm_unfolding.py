"""Turns the weights of an exported detector back into trainable parameters, under the names that ppdet uses.

The export folds every batch norm into its convolution, and every RepVGG block into one convolution. Here the folded
kernel becomes the convolution's, followed by a batch norm that is the identity but for the bias. Of a RepVGG block the
1x1 branch gets half of the kernel's centre, and the 3x3 branch the rest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from finetune.errors import FinetuneError
from finetune.weights.onnx_weights import Array

_EPSILON = np.float32(1e-5)  # of batch norms


@dataclass(frozen=True, slots=True)
class FoldedLayer:
    """The layers of the trainable network that the export folds into one convolution.

    Attributes:
        name: common prefix of their parameter names.
        kind: a convolution with batch norm, a RepVGG block, or a convolution alone.
        kernel: the folded kernel's shape, [outputs, inputs, height, width].
        alpha: whether the 1x1 branch of a RepVGG block has a trainable weight.
    """

    name: str
    kind: Literal["conv_bn", "rep_vgg", "conv"]
    kernel: tuple[int, ...]
    alpha: bool = False


def unfold(exported: dict[str, Array], layers: Sequence[FoldedLayer]) -> dict[str, Array]:
    """Trainable parameters by name, float32; batch-norm statistics end in `_mean` and `_variance`, as in Paddle.

    Args:
        exported: what `finetune.weights.onnx_weights.read` returned.
        layers: in the order in which they run.

    Raises:
        FinetuneError: the weights are of another architecture.
    """
    kernels = [value for name, value in exported.items() if name.startswith("conv.") and name.endswith(".weight")]
    if [layer.kernel for layer in layers] != [kernel.shape for kernel in kernels]:
        msg = (
            f"the weights are of another architecture: they have {len(kernels)} convolutions, the network has "
            f"{len(layers)}, or their kernels differ in shape"
        )
        raise FinetuneError(msg)
    parameters: dict[str, Array] = {}
    for i, (layer, kernel) in enumerate(zip(layers, kernels, strict=True)):
        bias = exported[f"conv.{i}.bias"]
        if layer.kind == "conv":
            parameters |= {f"{layer.name}.weight": kernel, f"{layer.name}.bias": bias}
        elif layer.kind == "conv_bn":
            parameters |= dict(_conv_bn(layer.name, kernel, bias))
        else:
            point = kernel[:, :, 1:2, 1:2] / 2
            rest = kernel.copy()
            rest[:, :, 1:2, 1:2] -= point
            parameters |= dict(_conv_bn(f"{layer.name}.conv1", rest, bias))
            parameters |= dict(_conv_bn(f"{layer.name}.conv2", point, np.zeros_like(bias)))
            if layer.alpha:
                parameters[f"{layer.name}.alpha"] = np.ones(1, np.float32)
    count = sum(name.startswith("encoder.multi_head_attention_") and name.endswith(".w_0") for name in exported)
    return parameters | {name: exported[key] for key, name in encoder_names(count)}


def encoder_names(layers: int) -> Iterator[tuple[str, str]]:
    """Pairs of exported key and parameter name for all weights of a transformer encoder with that many layers."""
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


def _conv_bn(name: str, kernel: Array, bias: Array) -> Iterator[tuple[str, Array]]:
    """A convolution, and a batch norm that only adds the bias."""
    yield f"{name}.conv.weight", kernel
    yield f"{name}.bn.weight", np.ones_like(bias)
    yield f"{name}.bn.bias", bias
    yield f"{name}.bn._mean", np.zeros_like(bias)
    yield f"{name}.bn._variance", np.full_like(bias, 1 - _EPSILON)
