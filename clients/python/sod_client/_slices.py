"""Options of sliced inference, under PaddleDetection's names, as the server's field `slice`."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

from sod_client.errors import InvalidConfigError

SliceInfer = bool | Literal["auto"]
Pair = float | Sequence[float]
COMBINE_METHODS = ("nms", "nmm", "none")
MATCH_METRICS = ("ios", "iou")


@dataclass(frozen=True)
class SliceOptions:
    """How images are sliced.

    Attributes:
        infer: whether images are sliced; "auto" slices only those that are larger than 1.5 times the model's input.
        size: (width, height) of a slice in pixels, or one number for both; None is the model's input.
        overlap: share of a slice that its neighbours cover too, horizontal and vertical, or one number for both.
        combine: "nms", "nmm" or "none".
        metric: "ios" or "iou".
        threshold: boxes whose metric is at least this are taken for one object.
    """

    infer: SliceInfer = False
    size: Pair | None = None
    overlap: Pair = (0.25, 0.25)
    combine: str = "nms"
    metric: str = "ios"
    threshold: float = 0.6

    def field(self) -> bool | str | dict[str, Any] | None:
        """The value of the field `slice`; None leaves it out.

        Raises:
            InvalidConfigError: an option is invalid, or is given without `slice_infer=True`.
        """
        if self.infer not in (True, False, "auto"):
            raise InvalidConfigError(f"slice_infer must be True, False or 'auto', not {self.infer!r}")
        if self == SliceOptions(self.infer):
            return self.infer or None
        if self.infer is not True:
            raise InvalidConfigError("options of slices have an effect only with slice_infer=True")
        if self.combine not in COMBINE_METHODS:
            raise InvalidConfigError(f"combine_method must be nms, nmm or none, not {self.combine!r}")
        if self.metric not in MATCH_METRICS:
            raise InvalidConfigError(f"match_metric must be ios or iou, not {self.metric!r}")
        return {
            **({} if self.size is None else {"size": pair("slice_size", self.size, 32, 16_384, whole=True)}),
            "overlap": pair("overlap_ratio", self.overlap, 0, 0.9),
            "combine": self.combine,
            "matchMetric": self.metric,
            "matchThreshold": _number("match_threshold", self.threshold, 0.01, 1),
        }


def pair(name: str, value: Pair, least: float, most: float, *, whole: bool = False) -> list[float]:
    """Check a number, or a pair of them (horizontal, vertical), and give the pair.

    Raises:
        InvalidConfigError: it is neither, or a number is not from `least` to `most`, or not an integer if `whole`.
    """
    values = [value, value] if isinstance(value, int | float) else list(value)
    if len(values) != 2:
        raise InvalidConfigError(f"{name} must be a number or a pair of them (horizontal, vertical), not {value!r}")
    numbers = [_number(name, one, least, most, whole=whole) for one in values]
    return [int(one) for one in numbers] if whole else numbers


def _number(name: str, value: object, least: float, most: float, *, whole: bool = False) -> float:
    kind = Integral if whole else Real
    if isinstance(value, bool) or not isinstance(value, kind) or not least <= float(value) <= most:
        raise InvalidConfigError(
            f"{name} must be {'an integer' if whole else 'a number'} from {least:g} to {most:g}, not {value!r}"
        )
    return float(value)
