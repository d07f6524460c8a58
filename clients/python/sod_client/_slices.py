"""Options of sliced inference, under PaddleDetection's names, as the server's field `slice`."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, Literal

from sod_client.errors import InvalidConfigError

SliceInfer = bool | Literal["auto"]
Pair = float | Sequence[float]
COMBINE_METHODS = ("nms", "nmm", "none")
MATCH_METRICS = ("ios", "iou")
OVERLAP = (0.25, 0.25)
THRESHOLD = 0.6


@dataclass(frozen=True)
class SliceOptions:
    """How images are sliced; None is the value of the pipeline file, or else the default.

    Attributes:
        infer: whether images are sliced; "auto" slices only those that are larger than 1.5 times the model's input.
        size: (width, height) of a slice in pixels, or one number for both; by default the model's input.
        overlap: share of a slice that its neighbours cover too, horizontal and vertical, or one number for both.
        combine: "nms", "nmm" or "none".
        metric: "ios" or "iou".
        threshold: boxes whose metric is at least this are taken for one object.
    """

    infer: SliceInfer | None = None
    size: Pair | None = None
    overlap: Pair | None = None
    combine: str | None = None
    metric: str | None = None
    threshold: float | None = None

    def over(self, file: "SliceOptions") -> "SliceOptions":
        """These options of a call, completed by those of the pipeline file."""
        infer = file.infer if self.infer is None else self.infer
        if infer is not True:
            return replace(self, infer=infer)
        given = {one.name: value for one in fields(self) if (value := getattr(self, one.name)) is not None}
        return replace(file, **{**given, "infer": True})

    def field(self) -> bool | str | dict[str, Any] | None:
        """The value of the field `slice`; None leaves it out.

        Raises:
            InvalidConfigError: an option is invalid, or is given without `slice_infer=True`.
        """
        self.check()
        if self == SliceOptions(self.infer):
            return self.infer or None
        if self.infer is not True:
            raise InvalidConfigError("options of slices have an effect only with slice_infer=True")
        size, overlap = pair("slice_size", self.size), pair("overlap_ratio", self.overlap)
        return {
            **({} if size is None else {"size": [int(one) for one in size]}),
            "overlap": overlap or list(OVERLAP),
            "combine": self.combine or "nms",
            "matchMetric": self.metric or "ios",
            "matchThreshold": THRESHOLD if self.threshold is None else float(self.threshold),
        }

    def check(self) -> None:
        """Check each value.

        Raises:
            InvalidConfigError: a value is invalid; the text begins with the name of its argument.
        """
        if self.infer not in (None, True, False, "auto"):
            raise InvalidConfigError(f"slice_infer must be True, False or 'auto', not {self.infer!r}")
        pair("slice_size", self.size)
        pair("overlap_ratio", self.overlap)
        if self.combine is not None and self.combine not in COMBINE_METHODS:
            raise InvalidConfigError(f"combine_method must be nms, nmm or none, not {self.combine!r}")
        if self.metric is not None and self.metric not in MATCH_METRICS:
            raise InvalidConfigError(f"match_metric must be ios or iou, not {self.metric!r}")
        if self.threshold is not None:
            _number("match_threshold", self.threshold, (0.01, 1))


def pair(name: str, value: Pair | None) -> list[float] | None:
    """Check a size or an overlap, one number or two (horizontal, vertical), and give both; None stays None.

    Raises:
        InvalidConfigError: it is neither, or a number is out of range.
    """
    if value is None:
        return None
    values = [value, value] if isinstance(value, int | float) else _listed(value)
    if len(values) != 2:
        raise InvalidConfigError(f"{name} must be a number or a pair of them (horizontal, vertical), not {value!r}")
    is_size = name == "slice_size"
    return [_number(name, one, (32, 16_384) if is_size else (0, 0.9), whole=is_size) for one in values]


def _listed(value: object) -> list[Any]:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []


def _number(name: str, value: object, limits: tuple[float, float], *, whole: bool = False) -> float:
    least, most = limits
    kind = Integral if whole else Real
    if isinstance(value, bool) or not isinstance(value, kind) or not least <= float(value) <= most:
        raise InvalidConfigError(
            f"{name} must be {'an integer' if whole else 'a number'} from {least:g} to {most:g}, not {value!r}"
        )
    return float(value)
