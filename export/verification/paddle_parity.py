"""Holds the FP32 ONNX detector against Paddle Inference: every anchor, every batch size, and the whole model's NMS."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.errors import CheckFailedError
from export.paddle.inference_config import InferenceConfig
from export.paddle.inference_model import CutModel, PaddleModel, ReferenceDetector
from export.precision import Limits
from export.verification.detectors import cut_detector
from export.verification.reference import Detector, Raw, Reference, in_batches
from sod.detections import Detections
from sod.image import to_pixels

BATCH_SIZES = (1, 2, 4)
# At 1920 x 1920 a batch of four takes gigabytes, and an image seconds: there two must do.
LARGE_BATCH_SIZES = (1, 2)
LARGE = 1_000_000  # pixels of the input
MAX_IMAGES, MAX_LARGE_IMAGES = 8, 2
HEAVY = 200_000_000  # bytes of weights


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of the report: the largest differences of one comparison; NaN if any value is."""

    name: str
    box: float
    score: float

    def within(self, limits: Limits) -> bool:
        """Whether both hold; a NaN never does."""
        return self.box <= limits.box and self.score <= limits.score


def is_large(config: InferenceConfig) -> bool:
    """Whether images of the model's size are run sparingly."""
    return config.height * config.width > LARGE


def is_heavy(model: PaddleModel) -> bool:
    """Whether the reference is run with oneDNN: without it L takes 4 s an image, largesize-L 50."""
    return is_large(model.config) or model.params.stat().st_size > HEAVY


def image_count(config: InferenceConfig) -> int:
    """How many images are compared at most."""
    return MAX_LARGE_IMAGES if is_large(config) else MAX_IMAGES


def batch_sizes(cut: CutModel) -> tuple[int, ...]:
    """The batch sizes that are compared."""
    return LARGE_BATCH_SIZES if is_large(cut.source.config) else BATCH_SIZES


def paddle_reference(cut: CutModel, images: Sequence[NDArray[np.uint8]]) -> Reference:
    """Run the cut model in Paddle Inference, image by image.

    oneDNN is off, but for heavy models: see `is_heavy` and `PaddleRunner`.

    Args:
        cut: the model.
        images: uint8 BGR [h, w, 3], at least one; a few are filled up with mirrored ones.
    """
    size = cut.source.config.height, cut.source.config.width
    pixels = fill_up([to_pixels(image, size) for image in images], max(batch_sizes(cut)))
    onednn = is_heavy(cut.source)
    boxes, scores = in_batches(cut_detector(cut, onednn=onednn), pixels, 1)
    return Reference(pixels, boxes, scores, f"Paddle Inference, CPU, FP32, oneDNN {'on' if onednn else 'off'}")


def check_detector(
    detector: Detector, alone: Raw, cut: CutModel, reference: Reference, limits: Limits
) -> list[Difference]:
    """Compare the ONNX detector, and the cut model in batches, with the reference.

    The whole model with its own NMS has the last word: each of its detections must be a box and score of the detector,
    which finds out a wrong cut or a wrong normalisation.

    Args:
        detector: of `onnx_detector`.
        alone: what it says of the reference's images, one by one.
        cut: what the reference ran; its source, the whole model, is run for detections.
        reference: of `paddle_reference`.
        limits: what passes.

    Raises:
        ExportError: a detector cannot be run at all.
    """
    sizes, onednn = batch_sizes(cut), is_heavy(cut.source)
    largest = sizes[-1]
    # Batches of some images find what batches of all would.
    pixels, expected = reference.pixels[:largest], (reference.boxes[:largest], reference.scores[:largest])
    report = [compare("ONNX Runtime, batch 1", reference.raw, alone)]
    report += [
        compare(f"ONNX Runtime, batch {batch}", expected, in_batches(detector, pixels, batch)) for batch in sizes[1:]
    ]
    paddle = cut_detector(cut, onednn=onednn)
    report.append(compare(f"cut Paddle model, batch {largest}", expected, in_batches(paddle, pixels, largest)))
    del paddle
    rows = ReferenceDetector(cut.source, onednn=onednn).detect_pixels(pixels[0], np.ones(2, np.float32))
    report.append(compare_detections("whole Paddle model with NMS", rows, (alone[0][:1], alone[1][:1]), limits))
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
    """Find each detection among the raw outputs of one image: the nearest box of that class with that score.

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
    """Stack [H, W, 3] to [M, H, W, 3], M at least `count` (up to four times the images), adding mirrored copies.

    Copies as they are would hide rows of a batch that were mixed up.
    """
    mirrored = (
        image[rows, columns]
        for rows, columns in itertools.product((slice(None), slice(None, None, -1)), repeat=2)
        for image in pixels
    )
    return np.stack(list(itertools.islice(mirrored, max(count, len(pixels)))))
