"""Where a training begins: an ONNX or .pdparams; classes of the same name keep what they learnt."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from finetune.errors import FinetuneError
from finetune.weights.fused import Unit, parameters
from finetune.weights.onnx_weights import Array, read

_CLASS_HEAD = "yolo_head.pred_cls."


def read_pdparams(path: Path) -> dict[str, Array]:
    """Parameters by name, float32.

    Raises:
        FinetuneError: it is no file of parameters.
    """
    if not path.is_file():
        msg = f"there is no {path}"
        raise FinetuneError(msg)
    try:
        state = paddle.load(str(path), return_numpy=True)
    except Exception as error:  # paddle.load unpickles: whatever a broken file makes it raise
        msg = f"{path} holds no parameters of Paddle: {str(error).splitlines()[0] if str(error) else error!r}"
        raise FinetuneError(msg) from None
    if not isinstance(state, dict):
        msg = f"{path} holds no parameters of Paddle"
        raise FinetuneError(msg)
    return {str(name): np.asarray(value, np.float32) for name, value in state.items() if hasattr(value, "shape")}


def load(model: Any, state: dict[str, Array], from_names: Sequence[str] | None, to_names: Sequence[str]) -> list[str]:
    """Fill a model.

    Args:
        model: of `finetune.paddledet.model.build`.
        state: parameters by name, of the same variant, of any number of classes.
        from_names: classes of `state`; None if they are not known: then its head is taken whole or not at all.
        to_names: classes of the model.

    Returns:
        The classes that begin from nothing.

    Raises:
        FinetuneError: the weights are of another architecture.
    """
    own = model.state_dict()
    new = [name for name in to_names if from_names is not None and name not in from_names]
    taken: dict[str, Any] = {}
    for name, value in own.items():
        taken[name] = value
        if name.endswith("proj_conv.weight"):  # the numbers of the bins: nothing to learn
            continue
        if name not in state:
            msg = f"the weights lack {name}: they are not of this architecture"
            raise FinetuneError(msg)
        given = state[name]
        if name.startswith(_CLASS_HEAD) and from_names is not None:
            rows = value.numpy()
            for i, label in enumerate(to_names):
                if label in from_names:
                    rows[i] = given[list(from_names).index(label)]
            given = rows
        elif name.startswith(_CLASS_HEAD) and list(given.shape) != list(value.shape):
            new = list(to_names)
            continue
        if list(given.shape) != list(value.shape):
            msg = f"{name} is {list(given.shape)} in the weights and {list(value.shape)} in the model"
            raise FinetuneError(msg)
        taken[name] = given
    model.set_state_dict(taken)
    return new


def from_onnx(model: Any, path: Path, pixels: Array) -> dict[str, Array]:
    """Parameters of an ONNX detector that `python -m export` wrote.

    Args:
        model: of the same architecture and number of classes; filled with them.
        path: the ONNX.
        pixels: float32 [N, 3, S, S], RGB 0..1, to measure the batch norms' statistics on.

    Raises:
        FinetuneError: the ONNX is of another architecture.
    """
    found = parameters(read(path), _units(model, pixels[:1, :, :64, :64]))
    load(model, found, None, ())
    _calibrate(model, pixels)
    return {name: value.numpy() for name, value in model.state_dict().items()}


def _run(model: Any, pixels: Array) -> None:
    """Run everything that holds weights, at any size."""
    sizes = model.neck.eval_size, model.yolo_head.eval_size
    model.neck.eval_size = model.yolo_head.eval_size = None
    model.eval()
    with paddle.no_grad():
        model.yolo_head.forward_eval(model.neck(model.backbone({"image": paddle.to_tensor(pixels)})))
    model.neck.eval_size, model.yolo_head.eval_size = sizes


def _units(model: Any, pixels: Array) -> list[Unit]:
    """Whatever is one convolution once exported, in the order in which they run."""
    names = {id(layer): name for name, layer in model.named_sublayers()}
    inside: set[int] = set()
    order: list[Unit] = []
    hooks = []
    for layer in model.sublayers():
        kind = type(layer).__name__
        if id(layer) in inside or id(layer) == id(model.yolo_head.proj_conv):
            continue
        if kind in ("RepVggBlock", "ConvBNLayer", "Conv2D"):
            inside |= {id(part) for part in layer.sublayers()}
            unit = _unit(names[id(layer)], layer, kind)
            hooks.append(layer.register_forward_pre_hook(lambda _, __, unit=unit: order.append(unit)))
    _run(model, pixels)
    for hook in hooks:
        hook.remove()
    return order


def _unit(name: str, layer: Any, kind: str) -> Unit:
    if kind == "RepVggBlock":
        return Unit(name, "pair", tuple(layer.conv1.conv.weight.shape), layer.alpha is not None)
    if kind == "ConvBNLayer":
        return Unit(name, "normed", tuple(layer.conv.weight.shape))
    return Unit(name, "plain", tuple(layer.weight.shape))


def _calibrate(model: Any, pixels: Array) -> None:
    """Give every batch norm the statistics of what reaches it, and the scale and shift that undo them."""
    measured: dict[int, tuple[Any, Any, Any]] = {}

    def measure(norm: Any, inputs: Any) -> None:
        measured[id(norm)] = (norm, inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3)))

    norms = [layer for layer in model.sublayers() if "BatchNorm" in type(layer).__name__]
    hooks = [norm.register_forward_pre_hook(measure) for norm in norms]
    _run(model, pixels)
    for hook in hooks:
        hook.remove()
    for norm, mean, variance in measured.values():
        norm.bias.set_value(norm.bias + mean)
        norm.weight.set_value((variance + norm._epsilon).sqrt())
        norm._mean.set_value(mean)
        norm._variance.set_value(variance)
