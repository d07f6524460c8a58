"""Weights between the twin, the ONNX detector and a Paddle program.

The ONNX holds every convolution fused with its batch norm. Reading it back puts the fused kernel into the convolution
and sets a batch norm around it that changes nothing at the statistics measured on `pictures`; of a RepVGG pair the 1x1
gets half of the middle tap. The network computes the same and can be trained on.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from finetune.errors import FinetuneError
from finetune.onnx_weights import Array, read
from finetune.twin.model import ConvBN, Detector, RepVGG


def load_onnx(model: Detector, path: Path, pictures: Tensor) -> None:
    """Fill the model with the weights of an ONNX detector that `python -m export` wrote.

    Args:
        model: of the same shape; left in evaluation mode.
        path: the ONNX.
        pictures: float32 [N, 3, 640, 640], RGB 0..1, to measure the batch norms' statistics on.

    Raises:
        FinetuneError: the ONNX is of another architecture.
    """
    stored = {name: torch.from_numpy(value) for name, value in read(path).items()}
    units = _units_in_order(model, pictures[:1, :, :64, :64])
    kernels = [value for name, value in stored.items() if name.startswith("conv.") and name.endswith(".weight")]
    if [_shape(unit) for unit in units] != [tuple(kernel.shape) for kernel in kernels]:
        msg = f"{path} has other convolutions than this architecture: {len(kernels)} where {len(units)} are expected"
        raise FinetuneError(msg)
    for i, (unit, kernel) in enumerate(zip(units, kernels, strict=True)):
        _set_fused(unit, kernel, stored[f"conv.{i}.bias"])
    _load_encoder(model, stored)
    _calibrate(model, pictures)


@torch.no_grad()
def to_program(model: Detector) -> dict[str, Array]:
    """The weights as `finetune.paddle_program` puts them into a Paddle program of the same architecture.

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
    found |= {name: value.T if is_linear else value for name, value, is_linear in _encoder(model)}
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


def _units_in_order(model: Detector, picture: Tensor) -> list[nn.Module]:
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
        model(picture)
    for hook in hooks:
        hook.remove()
    return order


def _shape(unit: nn.Module) -> tuple[int, ...]:
    while not isinstance(unit, nn.Conv2d):
        unit = unit.conv1 if isinstance(unit, RepVGG) else unit.conv  # type: ignore[assignment]
    return tuple(unit.weight.shape)


@torch.no_grad()
def _set_fused(unit: nn.Module, kernel: Tensor, bias: Tensor) -> None:
    if isinstance(unit, RepVGG):
        point = kernel[:, :, 1:2, 1:2] / 2
        rest = kernel.clone()
        rest[:, :, 1:2, 1:2] -= point
        _set_fused(unit.conv1, rest, bias)
        _set_fused(unit.conv2, point, torch.zeros_like(bias))
        if unit.alpha is not None:
            unit.alpha.fill_(1)
    elif isinstance(unit, ConvBN):
        unit.conv.weight.copy_(kernel)
        unit.bn.bias.copy_(bias)
        unit.bn.weight.fill_(1)
        _statistics(unit.bn, torch.zeros_like(bias), torch.full_like(bias, 1 - unit.bn.eps))
    elif isinstance(unit, nn.Conv2d) and unit.bias is not None:
        unit.weight.copy_(kernel)
        unit.bias.copy_(bias)


def _statistics(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    if norm.running_mean is not None and norm.running_var is not None:
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)


@torch.no_grad()
def _load_encoder(model: Detector, stored: dict[str, Tensor]) -> None:
    for name, value, is_linear in _encoder(model):
        value.copy_(stored[name].T if is_linear else stored[name])


def _encoder(model: Detector) -> Iterator[tuple[str, Tensor, bool]]:
    """Key and value of the encoder's weights, and whether Paddle has the value transposed."""
    for i, layer in enumerate(model.neck.encoder.layers):
        yield f"encoder.multi_head_attention_{i}.w_0", layer.self_attn.in_proj_weight, False
        yield f"encoder.multi_head_attention_{i}.b_0", layer.self_attn.in_proj_bias, False
        for j, linear in enumerate((layer.self_attn.out_proj, layer.linear1, layer.linear2), 3 * i):
            yield f"encoder.linear_{j}.w_0", linear.weight, True
            yield f"encoder.linear_{j}.b_0", linear.bias, False
        for j, norm in enumerate((layer.norm1, layer.norm2), 2 * i):
            yield f"encoder.layer_norm_{j}.w_0", norm.weight, False
            yield f"encoder.layer_norm_{j}.b_0", norm.bias, False


@torch.no_grad()
def _calibrate(model: Detector, pictures: Tensor) -> None:
    """Give every batch norm the statistics of what reaches it, and the scale and shift that undo them."""
    measured: dict[nn.BatchNorm2d, tuple[Tensor, Tensor]] = {}

    def measure(norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        measured[norm] = (inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3)))

    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(measure) for norm in norms]
    model.eval()
    model(pictures)
    for hook in hooks:
        hook.remove()
    for norm, (mean, variance) in measured.items():
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.add_(mean)
        _statistics(norm, mean, variance)
