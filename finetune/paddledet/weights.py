"""Loads pretrained weights into a ppdet model; a class that the weights know by the same name keeps its weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import paddle

from finetune.errors import FinetuneError
from finetune.weights.batch_norm_unfolding import FoldedLayer, unfold
from finetune.weights.onnx_weights import Array, read

_CLASS_HEAD = "yolo_head.pred_cls."


def load(model: Any, state: dict[str, Array], from_names: Sequence[str] | None, to_names: Sequence[str]) -> list[str]:
    """Load parameters into a model.

    Args:
        model: what `finetune.paddledet.model.build` returned.
        state: parameters by name, of the same variant, for any number of classes.
        from_names: classes of `state` by id; None if they are not known. Then the class head is loaded if it has as
            many classes as the model, else it keeps its random weights.
        to_names: classes of the model by id.

    Returns:
        The classes that keep random weights.

    Raises:
        FinetuneError: the weights are of another architecture.
    """
    own = model.state_dict()
    new = [name for name in to_names if from_names is not None and name not in from_names]
    loaded: dict[str, Any] = {}
    for name, value in own.items():
        loaded[name] = value
        if name.endswith("proj_conv.weight"):  # the constants of the distance bins
            continue
        if name not in state:
            msg = f"the weights lack {name}: they are of another architecture"
            raise FinetuneError(msg)
        given = state[name]
        if name.startswith(_CLASS_HEAD) and from_names is not None:
            by_class = value.numpy()
            for i, label in enumerate(to_names):
                if label in from_names:
                    by_class[i] = given[list(from_names).index(label)]
            given = by_class
        elif name.startswith(_CLASS_HEAD) and list(given.shape) != list(value.shape):
            new = list(to_names)
            continue
        if list(given.shape) != list(value.shape):
            msg = f"{name} has the shape {list(given.shape)} in the weights and {list(value.shape)} in the model"
            raise FinetuneError(msg)
        loaded[name] = given
    model.set_state_dict(loaded)
    return new


def from_onnx(model: Any, path: Path, pixels: Array) -> dict[str, Array]:
    """Trainable parameters of an ONNX detector that `python -m export` wrote.

    Args:
        model: of the same architecture and number of classes; it is filled with the parameters.
        path: the ONNX model.
        pixels: float32 [N, 3, S, S], RGB, 0..1; the batch norms are calibrated on them.

    Raises:
        FinetuneError: the ONNX model is of another architecture.
    """
    parameters = unfold(read(path), _folded_layers(model, pixels[:1, :, :64, :64]))
    load(model, parameters, None, ())
    _calibrate(model, pixels)
    return {name: value.numpy() for name, value in model.state_dict().items()}


def _run(model: Any, pixels: Array) -> None:
    """Run all layers that have weights, at any input size."""
    sizes = model.neck.eval_size, model.yolo_head.eval_size
    model.neck.eval_size = model.yolo_head.eval_size = None
    model.eval()
    with paddle.no_grad():
        model.yolo_head.forward_eval(model.neck(model.backbone({"image": paddle.to_tensor(pixels)})))
    model.neck.eval_size, model.yolo_head.eval_size = sizes


def _folded_layers(model: Any, pixels: Array) -> list[FoldedLayer]:
    """The layers that the export turns into one convolution each, in the order of execution."""
    names = {id(layer): name for name, layer in model.named_sublayers()}
    inside: set[int] = set()
    order: list[FoldedLayer] = []
    hooks = []
    for layer in model.sublayers():
        kind = type(layer).__name__
        if id(layer) in inside or id(layer) == id(model.yolo_head.proj_conv):
            continue
        if kind in ("RepVggBlock", "ConvBNLayer", "Conv2D"):
            inside |= {id(part) for part in layer.sublayers()}
            folded = _folded_layer(names[id(layer)], layer, kind)
            hooks.append(layer.register_forward_pre_hook(lambda _, __, folded=folded: order.append(folded)))
    _run(model, pixels)
    for hook in hooks:
        hook.remove()
    return order


def _folded_layer(name: str, layer: Any, kind: str) -> FoldedLayer:
    if kind == "RepVggBlock":
        return FoldedLayer(name, "rep_vgg", tuple(layer.conv1.conv.weight.shape), layer.alpha is not None)
    if kind == "ConvBNLayer":
        return FoldedLayer(name, "conv_bn", tuple(layer.conv.weight.shape))
    return FoldedLayer(name, "conv", tuple(layer.weight.shape))


def _calibrate(model: Any, pixels: Array) -> None:
    """Set the batch norms' statistics to those of their inputs, with scale and shift that keep the outputs the same."""
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
