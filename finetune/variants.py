"""The variants of PP-YOLOE+ SOD that can be trained."""

from collections.abc import Mapping
from dataclasses import dataclass

from finetune.weights.onnx_weights import Array


@dataclass(frozen=True, slots=True)
class Shape:
    """What tells variants apart: multipliers of depth and width, the encoder's layers and its feed-forward size."""

    depth: float
    width: float
    layers: int
    feed_forward: int


SHAPES = {
    "demo": Shape(0.33, 0.25, 1, 512),
    "PP-YOLOE_plus_SOD-S": Shape(0.33, 0.50, 4, 2048),
    "PP-YOLOE_plus_SOD-L": Shape(1.0, 1.0, 4, 2048),
}


def variant_of(state: Mapping[str, Array]) -> str | None:
    """Name of the variant whose parameters these are, by ppdet's names; None if it is none of them."""
    stem = state.get("backbone.stem.conv3.conv.weight")
    layers = {name.split(".")[3] for name in state if name.startswith("neck.encoder.layers.")}
    channels = 0 if stem is None else stem.shape[0]
    bins = state.get("yolo_head.pred_reg.0.bias")
    served = bins is not None and bins.shape == (40,)  # largesize-L, for 1920 px, has more
    return next(
        (n for n, s in SHAPES.items() if served and channels == round(64 * s.width) and len(layers) == s.layers), None
    )
