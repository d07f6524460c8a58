"""Weights between the twin, the ONNX detector and a Paddle program.

An ONNX is read as `finetune.weights.fused` says; then each batch norm gets the statistics of what reaches it, and the
scale and shift that undo them. The network computes the same and can be trained on.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from finetune.errors import FinetuneError
from finetune.pytorch.model import ConvBN, Detector, RepVGG
from finetune.weights.fused import Unit, encoder_names, parameters
from finetune.weights.onnx_weights import Array, read


def load_onnx(model: Detector, path: Path, images: Tensor) -> None:
    """Fill the model with the weights of an ONNX detector that `python -m export` wrote.

    Args:
        model: of the same shape; left in evaluation mode.
        path: the ONNX.
        images: float32 [N, 3, 640, 640], RGB 0..1, to measure the batch norms' statistics on.

    Raises:
        FinetuneError: the ONNX is of another architecture.
    """
    units = [_unit(model, unit) for unit in _units_in_order(model, images[:1, :, :64, :64])]
    state = {}
    for name, value in parameters(read(path), units).items():
        own = name.replace("._mean", ".running_mean").replace("._variance", ".running_var")
        state[own] = torch.from_numpy(value.T.copy() if _is_transposed(name) else value)
    missing = model.load_state_dict(state, strict=False)
    if missing.unexpected_keys:
        msg = f"{path} has {', '.join(missing.unexpected_keys[:3])}, which this architecture lacks"
        raise FinetuneError(msg)
    _calibrate(model, images)


@torch.no_grad()
def to_program(model: Detector) -> dict[str, Array]:
    """The weights as `finetune.weights.paddle_program` puts them into a Paddle program of the same architecture.

    Keys: `conv.K.weight` of the K-th convolution that runs, with `conv.K.bias`, or with `mean`, `variance`, `scale`
    and `shift` of its batch norm; `encoder.NAME` by Paddle's parameter names. RepVGG pairs are fused, linear layers
    transposed.
    """
    found: dict[str, Tensor] = {}
    for number, unit in enumerate(_units_in_order(model, torch.zeros(1, 3, 64, 64))):
        if isinstance(unit, ConvBN):
            norm = unit.bn
            parts = {"weight": unit.conv.weight, "mean": norm.running_mean, "variance": norm.running_var}
            parts |= {"scale": norm.weight, "shift": norm.bias}
        elif isinstance(unit, RepVGG):
            parts = dict(zip(("weight", "bias"), _fused_pair(unit), strict=True))
        elif isinstance(unit, nn.Conv2d):
            parts = {"weight": unit.weight, "bias": unit.bias}
        found |= {f"conv.{number}.{part}": value for part, value in parts.items() if value is not None}
    state = model.state_dict()
    for key, name in encoder_names(len(model.neck.encoder.layers)):
        found[key] = state[name].T if _is_transposed(name) else state[name]
    return {name: np.ascontiguousarray(value.numpy(), np.float32) for name, value in found.items()}


def _fused_pair(unit: RepVGG) -> tuple[Tensor, Tensor]:
    """Kernel and bias of the one convolution that a RepVGG pair is."""
    kernels, biases = [], []
    for branch in (unit.conv1, unit.conv2):
        norm = branch.bn
        if norm.running_mean is None or norm.running_var is None:
            msg = "a batch norm keeps no statistics"
            raise ValueError(msg)
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        kernels.append(branch.conv.weight * scale[:, None, None, None])
        biases.append(norm.bias - norm.running_mean * scale)
    weight = torch.ones(1) if unit.alpha is None else unit.alpha
    return kernels[0] + weight * nn.functional.pad(kernels[1], (1, 1, 1, 1)), biases[0] + weight * biases[1]


def _units_in_order(model: Detector, image: Tensor) -> list[nn.Module]:
    """Whatever is one convolution in the ONNX, in the order in which they run."""
    inside = {id(part) for unit in model.modules() if isinstance(unit, ConvBN | RepVGG) for part in unit.modules()}
    inside -= {id(unit) for unit in model.modules() if isinstance(unit, RepVGG)}
    pairs = {id(p) for unit in model.modules() if isinstance(unit, RepVGG) for p in unit.modules() if p is not unit}
    order: list[nn.Module] = []
    hooks = []
    for unit in model.modules():
        whole = isinstance(unit, ConvBN | RepVGG) and id(unit) not in pairs
        if whole or (isinstance(unit, nn.Conv2d) and id(unit) not in inside):
            hooks.append(unit.register_forward_pre_hook(lambda layer, _: order.append(layer)))
    model.eval()
    with torch.no_grad():
        model(image)
    for hook in hooks:
        hook.remove()
    return order


def _unit(model: Detector, layer: nn.Module) -> Unit:
    name = next(name for name, other in model.named_modules() if other is layer)
    if isinstance(layer, RepVGG):
        return Unit(name, "pair", tuple(layer.conv1.conv.weight.shape), layer.alpha is not None)
    if isinstance(layer, ConvBN):
        return Unit(name, "normed", tuple(layer.conv.weight.shape))
    return Unit(name, "plain", tuple(layer.weight.shape))  # type: ignore[arg-type]


def _is_transposed(name: str) -> bool:
    """Whether Paddle has it the other way round: linear layers, but for the attention's inputs."""
    return name.startswith("neck.encoder") and name.endswith((".linear1.weight", ".linear2.weight", ".out_proj.weight"))


def _statistics(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    if norm.running_mean is not None and norm.running_var is not None:
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)


@torch.no_grad()
def _calibrate(model: Detector, images: Tensor) -> None:
    """Give every batch norm the statistics of what reaches it, and the scale and shift that undo them."""
    measured: dict[nn.BatchNorm2d, tuple[Tensor, Tensor]] = {}

    def measure(norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        measured[norm] = (inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3)))

    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(measure) for norm in norms]
    model.eval()
    model(images)
    for hook in hooks:
        hook.remove()
    for norm, (mean, variance) in measured.items():
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.add_(mean)
        _statistics(norm, mean, variance)
