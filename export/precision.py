"""Targets, precisions, and the limits of the accuracy check for each precision."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from export.tables import Table


class Precision(StrEnum):
    """The number format in which a detector computes."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"


class Target(StrEnum):
    """The engine that loads the artefact, or a check of it."""

    ONNX = "onnx"
    OPENVINO = "openvino"
    TENSORRT = "tensorrt"
    TENSORRT_CHECK = "tensorrt-check"
    EDGE = "edge"


# Every precision of a target; all of them are made unless the user names one.
PRECISIONS = {
    Target.ONNX: (Precision.FP32, Precision.FP16),
    Target.OPENVINO: (Precision.FP32, Precision.BF16, Precision.INT8),
    Target.TENSORRT: (Precision.FP16,),
    Target.TENSORRT_CHECK: (Precision.FP16,),
    Target.EDGE: (Precision.FP32, Precision.FP16, Precision.INT8),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Largest differences from Paddle Inference that pass the accuracy check.

    Attributes:
        box: difference of a box coordinate, in pixels of the detector's input.
        score: difference of a score, 0..1.
        matched: smallest share of the objects over the threshold that both sides must have in common. The threshold is
            0.5, or lower if there are few objects (`accuracy_check.THRESHOLDS`). Two objects match if they have the
            same class and an IoU of at least 0.5; the score of one of them may be below the threshold, by at most
            `score` and not below half of it.
        min_score: `box` and `score` are measured on the anchors whose best reference score exceeds this; a negative
            value takes all anchors.
        quantile: the quantile of the differences that must be within `box` and `score`; 1 is the largest difference.
            At BF16 and INT8 about one anchor in hundreds is far off; NMS discards it.
    """

    box: float = 0.05
    score: float = 0.001
    matched: float = 1.0
    min_score: float = -1.0
    quantile: float = 1.0


# At least 1.5 times the worst difference measured on a VisDrone image (docs/export.md). The worst models were L and
# largesize-L with random weights, whose scores react to rounding a hundred times as strongly as the trained demo's; on
# small images enlarged to 1920 such a largesize-L exceeds these limits. `matched` protects the detections, above all in
# BF16 and INT8; `box` and `score` find gross errors. FP32 is held to differences that no detection shows, over all
# anchors, background included; its `matched` leaves room for objects that NMS keeps or drops by a rounding error.
LIMITS = {
    # Kernels round differently by CPU: the worst score of SOD-S was 0.00003 on one and 0.0011 on another (synthetic
    # image).
    Precision.FP32: Limits(score=0.003, matched=0.97),
    Precision.FP16: Limits(box=8.0, score=0.15, matched=0.97, min_score=0.05),
    Precision.BF16: Limits(box=24.0, score=0.60, matched=0.90, min_score=0.30, quantile=0.99),
    Precision.INT8: Limits(box=32.0, score=0.60, matched=0.85, min_score=0.30, quantile=0.99),
}


def applicable(target: Target, requested: Sequence[Precision]) -> list[Precision]:
    """The requested precisions that the target has; an empty request means all."""
    return [precision for precision in PRECISIONS[target] if not requested or precision in requested]


def limits_table() -> str:
    """`LIMITS` as Markdown, for docs/export.md."""
    rows = []
    for precision, limits in LIMITS.items():
        anchors = "all" if limits.min_score < 0 else f"reference score over {limits.min_score:g}"
        quantile = "largest" if limits.quantile == 1 else f"{limits.quantile:.0%} quantile"
        rows.append([precision, anchors, quantile, f"{limits.box:g}", f"{limits.score:g}", f"{limits.matched:.0%}"])
    return Table(["precision", "anchors measured", "difference", "box, px", "score", "matched at 0.5"], rows).markdown()
