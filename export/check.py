"""Holds an ONNX detector against Paddle Inference, on real pictures, at batch 1, 2 and 4."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from export.errors import CheckFailedError, ExportError
from export.paddle_model import CutModel, PaddleRunner, ReferenceDetector, to_image
from sod.detections import Detections
from sod.image import to_pixels
from sod.interface import BOXES, PIXELS, SCORES

BATCH_SIZES = (1, 2, 4)

Raw = tuple[NDArray[np.float32], NDArray[np.float32]]  # boxes [N, A, 4], scores [N, C, A]
Detector = Callable[[NDArray[np.uint8]], Raw]  # from pixels uint8 [N, H, W, 3]


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest differences that pass, over all anchors and classes.

    Several times what the SOD models were seen to differ (0.008 px, 0.00014), and far below what a detection shows.

    Attributes:
        box: pixels of the input.
        score: of 0..1.
    """

    box: float = 0.05
    score: float = 0.001


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of the report: the largest differences of one comparison; NaN if any value is."""

    name: str
    box: float
    score: float

    def within(self, limits: Limits) -> bool:
        """Whether both hold; a NaN never does."""
        return self.box <= limits.box and self.score <= limits.score


def check_detector(
    onnx_path: Path,
    cut: CutModel,
    pictures: Sequence[NDArray[np.uint8]],
    limits: Limits,
) -> list[Difference]:
    """Compare the ONNX detector, and the cut model in batches, with what Paddle Inference says picture by picture.

    The whole model with its own NMS has the last word: each of its detections must be a box and score of the detector,
    which finds out a wrong cut or a wrong normalisation.

    Args:
        onnx_path: the detector.
        cut: the reference for boxes and scores; its source, the whole model, that for detections.
        pictures: uint8 BGR [h, w, 3], at least one; filled up to four with mirrored ones.
        limits: what passes.

    Raises:
        ExportError: a detector cannot be run at all.
    """
    size = cut.source.config.height, cut.source.config.width
    pixels = fill_up([to_pixels(picture, size) for picture in pictures], max(BATCH_SIZES))
    detector, paddle = onnx_detector(onnx_path), cut_detector(cut)
    expected = in_batches(paddle, pixels, 1)
    report = [
        compare(f"ONNX Runtime, batch {batch}", expected, in_batches(detector, pixels, batch)) for batch in BATCH_SIZES
    ]
    report.append(compare(f"cut Paddle model, batch {BATCH_SIZES[-1]}", expected, in_batches(paddle, pixels, 4)))
    rows = ReferenceDetector(cut.source).detect_pixels(pixels[0], np.ones(2, np.float32))
    report.append(compare_detections("whole Paddle model with NMS", rows, in_batches(detector, pixels[:1], 1), limits))
    return report


def format_report(report: Sequence[Difference], limits: Limits) -> str:
    """The report as one table."""
    lines = [f"{'largest difference to Paddle Inference':<40}{'box, px':>12}{'score':>12}"]
    lines += [
        f"  {line.name:<38}{line.box:>12.6f}{line.score:>12.8f}{'' if line.within(limits) else '  TOO LARGE'}"
        for line in report
    ]
    return "\n".join([*lines, f"  {'limit':<38}{limits.box:>12.6f}{limits.score:>12.8f}"])


def require(report: Sequence[Difference], limits: Limits) -> None:
    """Raise CheckFailedError, naming the comparisons, unless all of them are within the limits."""
    failed = [line.name for line in report if not line.within(limits)]
    if failed:
        raise CheckFailedError(
            f"the detector differs from Paddle Inference by more than {limits.box} px or {limits.score} of score "
            f"({'; '.join(failed)}): nothing was written"
        )


def compare(name: str, expected: Raw, actual: Raw) -> Difference:
    """The largest absolute differences of boxes [N, A, 4] and scores [N, C, A]; infinite where the shapes differ."""
    box, score = (
        float(np.max(np.abs(a.astype(np.float64) - b))) if a.shape == b.shape else float("inf")
        for a, b in zip(expected, actual, strict=True)
    )
    return Difference(name, box, score)


def compare_detections(name: str, rows: Detections, actual: Raw, limits: Limits) -> Difference:
    """Find each detection among the raw outputs of one picture: the nearest box of that class with that score.

    Args:
        name: of the comparison.
        rows: of the whole model, boxes in pixels of the input.
        actual: boxes [1, A, 4], scores [1, C, A].
        limits: an anchor has "that score" within `limits.score`.
    """
    boxes, scores = actual[0][0], actual[1][0]
    worst_box = worst_score = 0.0
    for box, score, class_id in zip(rows.boxes, rows.scores, rows.class_ids, strict=True):
        score_differences = np.abs(scores[class_id] - score)
        near = np.flatnonzero(score_differences <= limits.score)
        if not len(near):
            return Difference(name, float("inf"), float(score_differences.min()))
        distances = np.abs(boxes[near] - box).max(axis=1)
        worst_box = max(worst_box, float(distances.min()))
        worst_score = max(worst_score, float(score_differences[near[distances.argmin()]]))
    return Difference(f"{name} ({len(rows)} rows)", worst_box, worst_score)


def fill_up(pixels: Sequence[NDArray[np.uint8]], count: int) -> NDArray[np.uint8]:
    """Stack [H, W, 3] to [M, H, W, 3], M at least `count` (up to four times the pictures), adding mirrored copies.

    Copies as they are would hide rows of a batch that were mixed up.
    """
    mirrored = (
        picture[rows, columns]
        for rows, columns in itertools.product((slice(None), slice(None, None, -1)), repeat=2)
        for picture in pixels
    )
    return np.stack(list(itertools.islice(mirrored, max(count, len(pixels)))))


def in_batches(detector: Detector, pixels: NDArray[np.uint8], batch: int) -> Raw:
    """Run a detector on [M, H, W, 3] in batches (the last may be smaller) and join what it gives."""
    parts = [detector(pixels[start : start + batch]) for start in range(0, len(pixels), batch)]
    return np.concatenate([boxes for boxes, _ in parts]), np.concatenate([scores for _, scores in parts])


def onnx_detector(path: Path) -> Detector:
    """The detector in ONNX Runtime on the CPU.

    Raises:
        ExportError: it cannot be loaded, or later, run.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    # ONNX Runtime's exceptions have no public base class.
    except Exception as error:
        raise ExportError(f"ONNX Runtime cannot load the detector: {error}") from error

    def run(pixels: NDArray[np.uint8]) -> Raw:
        try:
            boxes, scores = session.run([BOXES, SCORES], {PIXELS: pixels})
        except Exception as error:
            raise ExportError(f"ONNX Runtime cannot run the detector on a batch of {len(pixels)}: {error}") from error
        return boxes, scores

    return run


def cut_detector(cut: CutModel) -> Detector:
    """The cut model in Paddle Inference, boxes in pixels of the input."""
    runner = PaddleRunner(cut.program, cut.params)

    def run(pixels: NDArray[np.uint8]) -> Raw:
        boxes, scores = runner(to_image(pixels), np.ones((len(pixels), 2), np.float32))
        return boxes, scores

    return run
