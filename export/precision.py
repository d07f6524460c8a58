"""Targets, precisions, and the one table of limits that the gate holds every artefact to."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Precision(StrEnum):
    """In what numbers a detector computes."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"


class Target(StrEnum):
    """What loads the artefact."""

    ONNX = "onnx"
    OPENVINO = "openvino"
    TENSORRT = "tensorrt"
    TENSORRT_CHECK = "tensorrt-check"


# What can be asked for, and what is made where no precision is asked for.
PRECISIONS = {
    Target.ONNX: (Precision.FP32, Precision.FP16),
    Target.OPENVINO: (Precision.FP32, Precision.BF16, Precision.INT8),
    Target.TENSORRT: (Precision.FP16,),
    Target.TENSORRT_CHECK: (Precision.FP16,),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What passes the gate, each held against Paddle Inference image by image.

    Attributes:
        box: difference of a box's side, in pixels of the input.
        score: difference of a score, of 0..1.
        matched: smallest share of the objects over 0.5 (see `gate.MATCH_SCORES`), on either side, that the other side
            has too: the same class, IoU at least 0.5, a score over 0.5 less `score` and over 0.25.
        floor: `box` and `score` look at the anchors whose best reference score exceeds this; below zero, at all.
        quantile: which of their differences is held to `box` and `score`: 1, the largest. In 8 bits, of exponent and
            all or alone, one anchor in hundreds goes astray, and its neighbours outvote it in NMS.
    """

    box: float = 0.05
    score: float = 0.001
    matched: float = 1.0
    floor: float = -1.0
    quantile: float = 1.0


# Half as much again, or more, as the worst on a VisDrone image (docs/export.md): L and largesize-L with random
# weights, which answer to rounding a hundred times as strongly as the trained demo. On small images enlarged to
# 1920 such a largesize-L is beyond them. `matched` is what guards detections, in BF16 and INT8 above all; box and
# score find what is simply wrong. FP32 is held to what no detection shows, over all anchors, background too; its
# `matched` leaves room for objects that NMS keeps or drops by a rounding.
LIMITS = {
    # Kernels round differently by CPU: on one the worst of SOD-S was 0.00003, on another 0.0011 (a synthetic image).
    Precision.FP32: Limits(score=0.003, matched=0.97),
    Precision.FP16: Limits(box=8.0, score=0.15, matched=0.97, floor=0.05),
    Precision.BF16: Limits(box=24.0, score=0.60, matched=0.90, floor=0.30, quantile=0.99),
    Precision.INT8: Limits(box=32.0, score=0.60, matched=0.85, floor=0.30, quantile=0.99),
}


def applicable(target: Target, asked: Sequence[Precision]) -> list[Precision]:
    """The precisions of `asked` (all, if empty) that the target has."""
    return [precision for precision in PRECISIONS[target] if not asked or precision in asked]


def limits_table() -> str:
    """`LIMITS` as Markdown, for docs/export.md."""
    lines = [
        "| precision | anchors looked at | difference held | box, px | score | matched at 0.5 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for precision, limits in LIMITS.items():
        anchors = "all" if limits.floor < 0 else f"reference score over {limits.floor:g}"
        held = "largest" if limits.quantile == 1 else f"{limits.quantile:.0%} are below"
        lines.append(f"| {precision} | {anchors} | {held} | {limits.box:g} | {limits.score:g} | {limits.matched:.0%} |")
    return "\n".join(lines)
