"""Converts weights between the PyTorch detector, an ONNX detector and a Paddle program.

The weights of an ONNX model are unfolded (`finetune.weights.batch_norm_unfolding`). Then each batch norm gets the
statistics of its inputs, and a scale and a shift that cancel them: the network computes the same and can be trained.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from finetune.errors import FinetuneError
from finetune.pytorch.batch_norms import batch_norms
from finetune.pytorch.model import ConvBN, Detector, RepVGG
from finetune.weights.batch_norm_unfolding import FoldedLayer, encoder_names, unfold
from finetune.weights.onnx_weights import Array, read


def load_onnx(model: Detector, path: Path, images: Tensor) -> None:
    """Load the weights of an ONNX detector that `python -m export` wrote.

    Args:
        model: of the same variant; it is left in evaluation mode.
        path: the ONNX model.
        images: float32 [N, 3, 640, 640], RGB, 0..1; the batch norms are calibrated on them.

    Raises:
        FinetuneError: the ONNX model is of another architecture.
    """
    layers = [_folded_layer(model, layer) for layer in _layers_in_order(model, images[:1, :, :64, :64])]
    state = {}
    for name, value in unfold(read(path), layers).items():
        torch_name = name.replace("._mean", ".running_mean").replace("._variance", ".running_var")
        state[torch_name] = torch.from_numpy(value.T.copy() if _is_transposed(name) else value)
    mismatch = model.load_state_dict(state, strict=False)
    if mismatch.unexpected_keys:
        msg = f"{path} has {', '.join(mismatch.unexpected_keys[:3])}, which this architecture lacks"
        raise FinetuneError(msg)
    _calibrate(model, images)


@torch.no_grad()
def program_weights(model: Detector) -> dict[str, Array]:
    """The weights for `finetune.weights.paddle_program`, which writes them into a Paddle program, float32.

    Keys: `conv.K.weight` for the K-th convolution in the order of execution, with `conv.K.bias`, or with `mean`,
    `variance`, `scale` and `shift` of its batch norm; `encoder.NAME`, where NAME is Paddle's parameter name. RepVGG
    blocks are folded, and linear layers are transposed.
    """
    weights: dict[str, Tensor] = {}
    for number, layer in enumerate(_layers_in_order(model, torch.zeros(1, 3, 64, 64))):
        if isinstance(layer, ConvBN):
            norm = layer.bn
            parts = {"weight": layer.conv.weight, "mean": norm.running_mean, "variance": norm.running_var}
            parts |= {"scale": norm.weight, "shift": norm.bias}
        elif isinstance(layer, RepVGG):
            parts = dict(zip(("weight", "bias"), _folded(layer), strict=True))
        elif isinstance(layer, nn.Conv2d):
            parts = {"weight": layer.weight, "bias": layer.bias}
        weights |= {f"conv.{number}.{part}": value for part, value in parts.items() if value is not None}
    state = model.state_dict()
    for key, name in encoder_names(len(model.neck.encoder.layers)):
        weights[key] = state[name].T if _is_transposed(name) else state[name]
    return {name: np.ascontiguousarray(value.numpy(), np.float32) for name, value in weights.items()}


def _folded(block: RepVGG) -> tuple[Tensor, Tensor]:
    """Kernel and bias of the one convolution that is equivalent to a RepVGG block."""
    kernels, biases = [], []
    for branch in (block.conv1, block.conv2):
        norm = branch.bn
        if norm.running_mean is None or norm.running_var is None:
            msg = "a batch norm of the model tracks no running statistics"
            raise ValueError(msg)
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        kernels.append(branch.conv.weight * scale[:, None, None, None])
        biases.append(norm.bias - norm.running_mean * scale)
    weight = torch.ones(1) if block.alpha is None else block.alpha
    return kernels[0] + weight * nn.functional.pad(kernels[1], (1, 1, 1, 1)), biases[0] + weight * biases[1]


def _layers_in_order(model: Detector, image: Tensor) -> list[nn.Module]:
    """The layers that the export turns into one convolution each, in the order of execution."""
    blocks = [layer for layer in model.modules() if isinstance(layer, RepVGG)]
    branches = {id(part) for block in blocks for part in block.modules() if part is not block}
    conv_bns = [layer for layer in model.modules() if isinstance(layer, ConvBN)]
    inside = branches | {id(conv_bn.conv) for conv_bn in conv_bns}
    order: list[nn.Module] = []
    hooks = [
        layer.register_forward_pre_hook(lambda called, _: order.append(called))
        for layer in model.modules()
        if isinstance(layer, ConvBN | RepVGG | nn.Conv2d) and id(layer) not in inside
    ]
    model.eval()
    with torch.no_grad():
        model(image)
    for hook in hooks:
        hook.remove()
    return order


def _folded_layer(model: Detector, layer: nn.Module) -> FoldedLayer:
    name = next(name for name, other in model.named_modules() if other is layer)
    if isinstance(layer, RepVGG):
        return FoldedLayer(name, "rep_vgg", tuple(layer.conv1.conv.weight.shape), layer.alpha is not None)
    if isinstance(layer, ConvBN):
        return FoldedLayer(name, "conv_bn", tuple(layer.conv.weight.shape))
    return FoldedLayer(name, "conv", tuple(layer.weight.shape))  # type: ignore[arg-type]


def _is_transposed(name: str) -> bool:
    """Whether Paddle stores the matrix transposed: linear layers, except for the attention's input projections."""
    return name.startswith("neck.encoder") and name.endswith((".linear1.weight", ".linear2.weight", ".out_proj.weight"))


def _statistics(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    if norm.running_mean is not None and norm.running_var is not None:
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)


@torch.no_grad()
def _calibrate(model: Detector, images: Tensor) -> None:
    """Set the batch norms' statistics to those of their inputs, with scale and shift that keep the outputs the same."""
    measured: dict[nn.BatchNorm2d, tuple[Tensor, Tensor]] = {}

    def measure(norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        measured[norm] = (inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3)))

    hooks = [norm.register_forward_pre_hook(measure) for norm in batch_norms(model)]
    model.eval()
    model(images)
    for hook in hooks:
        hook.remove()
    for norm, (mean, variance) in measured.items():
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.add_(mean)
        _statistics(norm, mean, variance)
