"""Compares the FP32 detector with Paddle Inference: every anchor, every batch size, and the complete model's NMS."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.errors import CheckFailedError
from export.paddle.inference_config import InferenceConfig
from export.paddle.inference_model import PaddleModel, PreNmsModel
from export.paddle.predictor import ReferenceDetector, paddle_detector
from export.precision import Limits
from export.tables import Table
from export.verification.reference import Detector, RawOutputs, Reference, run_in_batches
from sod.detections import Detections
from sod.image import to_pixels

BATCH_SIZES = (1, 2, 4)
# At 1920 x 1920 a batch of four takes gigabytes, and an image takes seconds.
LARGE_BATCH_SIZES = (1, 2)
LARGE_INPUT = 1_000_000  # pixels
MAX_IMAGES, MAX_LARGE_IMAGES = 8, 2
LARGE_WEIGHTS = 200_000_000  # bytes


@dataclass(frozen=True, slots=True)
class Difference:
    """The largest differences of one comparison; NaN if an output is NaN, infinite if the shapes differ.

    Attributes:
        name: what was compared.
        box: in pixels of the detector's input.
        score: 0..1.
    """

    name: str
    box: float
    score: float

    def within(self, limits: Limits) -> bool:
        """Whether both differences are within the limits; NaN never is."""
        return self.box <= limits.box and self.score <= limits.score


def has_large_input(config: InferenceConfig) -> bool:
    """Whether the input is so large that fewer images and smaller batches are compared."""
    return config.height * config.width > LARGE_INPUT


def needs_onednn(model: PaddleModel) -> bool:
    """Whether the reference runs with oneDNN: without it L takes 4 s per image, and largesize-L takes 50 s."""
    return has_large_input(model.config) or model.params.stat().st_size > LARGE_WEIGHTS


def max_images(config: InferenceConfig) -> int:
    """The largest number of images that are compared."""
    return MAX_LARGE_IMAGES if has_large_input(config) else MAX_IMAGES


def batch_sizes(model: PreNmsModel) -> tuple[int, ...]:
    """The batch sizes that are compared."""
    return LARGE_BATCH_SIZES if has_large_input(model.source.config) else BATCH_SIZES


def paddle_reference(model: PreNmsModel, images: Sequence[NDArray[np.uint8]]) -> Reference:
    """Run the model without its NMS in Paddle Inference, image by image; with oneDNN only if `needs_onednn`.

    Args:
        model: the model.
        images: uint8 BGR [h, w, 3], at least one; if they are fewer than the largest batch, mirrored copies are added.
    """
    size = model.source.config.height, model.source.config.width
    pixels = add_mirrored([to_pixels(image, size) for image in images], max(batch_sizes(model)))
    onednn = needs_onednn(model.source)
    boxes, scores = run_in_batches(paddle_detector(model, onednn=onednn), pixels, 1)
    return Reference(pixels, boxes, scores, f"Paddle Inference, CPU, FP32, oneDNN {'on' if onednn else 'off'}")


def compare_with_paddle(
    detector: Detector, outputs: RawOutputs, model: PreNmsModel, reference: Reference, limits: Limits
) -> list[Difference]:
    """Compare the FP32 detector, and the Paddle model without its NMS in batches, with the reference.

    Every detection of the complete model must be a box and score of the detector. This finds a model that ends at the
    wrong operators, or a wrong normalisation.

    Args:
        detector: the FP32 detector in ONNX Runtime.
        outputs: its outputs for the reference's images, one by one.
        model: the Paddle model that the reference was made with.
        reference: of `paddle_reference`.
        limits: of FP32; an anchor has the score of a detection within `limits.score`.

    Raises:
        ExportError: a detector cannot be run.
    """
    sizes, onednn = batch_sizes(model), needs_onednn(model.source)
    largest = sizes[-1]
    # As many images as the largest batch has suffice to find errors of batching.
    pixels, expected = reference.pixels[:largest], (reference.boxes[:largest], reference.scores[:largest])
    differences = [compare("ONNX Runtime, batch 1", reference.outputs, outputs)]
    differences += [
        compare(f"ONNX Runtime, batch {batch}", expected, run_in_batches(detector, pixels, batch))
        for batch in sizes[1:]
    ]
    paddle = paddle_detector(model, onednn=onednn)
    batched = run_in_batches(paddle, pixels, largest)
    differences.append(compare(f"Paddle without NMS, batch {largest}", expected, batched))
    del paddle
    complete = ReferenceDetector(model.source, onednn=onednn)
    detections = complete.detect_pixels(pixels[0], np.ones(2, np.float32))
    first = outputs[0][:1], outputs[1][:1]
    differences.append(compare_detections("Paddle with NMS", detections, first, limits))
    return differences


def parity_table(differences: Sequence[Difference], limits: Limits) -> Table:
    """The differences beside their limits."""
    rows = [
        [line.name, f"{line.box:.6f}", f"{line.score:.8f}", "passed" if line.within(limits) else "FAILED"]
        for line in differences
    ]
    limit = ["limit", f"{limits.box:.6f}", f"{limits.score:.8f}", ""]
    return Table(["largest difference from Paddle Inference", "box, px", "score", "result"], [*rows, limit])


def require_parity(differences: Sequence[Difference], limits: Limits) -> None:
    """Raise unless all differences are within the limits.

    Raises:
        CheckFailedError: names the comparisons that failed.
    """
    failed = [line.name for line in differences if not line.within(limits)]
    if failed:
        raise CheckFailedError(
            f"the detector differs from Paddle Inference by more than {limits.box} px or {limits.score} of score "
            f"({'; '.join(failed)}); nothing was written"
        )


def compare(name: str, expected: RawOutputs, actual: RawOutputs) -> Difference:
    """The largest absolute differences of boxes float32 [N, A, 4] and scores float32 [N, C, A]."""
    box, score = (
        float(np.max(np.abs(a.astype(np.float64) - b))) if a.shape == b.shape else float("inf")
        for a, b in zip(expected, actual, strict=True)
    )
    return Difference(name, box, score)


def compare_detections(name: str, detections: Detections, actual: RawOutputs, limits: Limits) -> Difference:
    """Find each detection among the raw outputs of one image: the nearest box with the same class and score.

    Args:
        name: what is compared.
        detections: of the complete model, boxes in pixels of the input.
        actual: boxes float32 [1, A, 4], scores float32 [1, C, A].
        limits: two scores are the same if they differ by at most `limits.score`.
    """
    boxes, scores = actual[0][0], actual[1][0]
    worst_box = worst_score = 0.0
    for box, score, class_id in zip(detections.boxes, detections.scores, detections.class_ids, strict=True):
        score_differences = np.abs(scores[class_id] - score)
        near = np.flatnonzero(score_differences <= limits.score)
        if not len(near):
            return Difference(name, float("inf"), float(score_differences.min()))
        distances = np.abs(boxes[near] - box).max(axis=1)
        worst_box = max(worst_box, float(distances.min()))
        worst_score = max(worst_score, float(score_differences[near[distances.argmin()]]))
    return Difference(f"{name} ({len(detections)} rows)", worst_box, worst_score)


def add_mirrored(pixels: Sequence[NDArray[np.uint8]], count: int) -> NDArray[np.uint8]:
    """Stack images and add mirrored copies up to `count`; plain copies would hide mixed-up rows of a batch.

    Args:
        pixels: uint8 [H, W, 3] each.
        count: the smallest number of images in the stack; at most four times as many as given.

    Returns:
        uint8 [M, H, W, 3].
    """
    mirrored = (
        image[rows, columns]
        for rows, columns in itertools.product((slice(None), slice(None, None, -1)), repeat=2)
        for image in pixels
    )
    return np.stack(list(itertools.islice(mirrored, max(count, len(pixels)))))
