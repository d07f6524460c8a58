"""What a user may choose of a model's Triton configuration."""

from collections.abc import Mapping
from dataclasses import dataclass

Threshold = float | Mapping[int, float]  # one score for all classes, or a score by class id


@dataclass(frozen=True, slots=True)
class ServingOptions:
    """The choices.

    Attributes:
        max_batch_size: images per inference, 1 to `triton.model_spec.MAX_BATCH_SIZE`; None chooses by the input's size.
        default_threshold: for requests without a threshold; None takes the `draw_threshold` of the Paddle model's
            `inference.yml`, or leaves it to the gateway if that is 0.5 or absent.
        overwrite: replace the configuration of a model of the same name that has other classes, another size or
            another NMS.
    """

    max_batch_size: int | None = None
    default_threshold: Threshold | None = None
    overwrite: bool = False


DEFAULT_OPTIONS = ServingOptions()
