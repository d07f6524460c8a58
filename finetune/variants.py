"""The variants of PP-YOLOE+ SOD that can be trained, and the input size that they share."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

INPUT_SIZE = 640  # px, width and height of the detector's input when it is served
STRIDES = (32, 16, 8)  # px between two anchors, of each of the detector's levels


@dataclass(frozen=True, slots=True)
class Variant:
    """The hyperparameters in which the variants differ (PaddleDetection's `configs/smalldet`).

    Attributes:
        depth: multiplier of the number of blocks in a stage.
        width: multiplier of the number of channels.
        encoder_layers: layers of the transformer encoder.
        feed_forward: size of the encoder's feed-forward layers.
    """

    depth: float
    width: float
    encoder_layers: int
    feed_forward: int


VARIANTS = {
    "demo": Variant(0.33, 0.25, 1, 512),
    "PP-YOLOE_plus_SOD-S": Variant(0.33, 0.50, 4, 2048),
    "PP-YOLOE_plus_SOD-L": Variant(1.0, 1.0, 4, 2048),
}


def variant_of(parameters: Mapping[str, NDArray[np.float32]]) -> str | None:
    """Name of the variant that has these parameters, given under ppdet's names; None if no variant has them."""
    stem = parameters.get("backbone.stem.conv3.conv.weight")
    layers = {name.split(".")[3] for name in parameters if name.startswith("neck.encoder.layers.")}
    channels = 0 if stem is None else stem.shape[0]
    bins = parameters.get("yolo_head.pred_reg.0.bias")
    has_640_px_bins = bins is not None and bins.shape == (40,)  # largesize-L, for 1920 px, has more
    return next(
        (
            name
            for name, variant in VARIANTS.items()
            if has_640_px_bins and channels == round(64 * variant.width) and len(layers) == variant.encoder_layers
        ),
        None,
    )
