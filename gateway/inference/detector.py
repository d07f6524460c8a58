"""From an image and its thresholds to detections and an overlay, without HTTP."""

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gateway.errors import DetectorUnavailableError, InputError
from gateway.images.image_input import EncodedImage, ImageInput
from gateway.inference.model_catalogue import ModelInfo
from gateway.inference.postprocess import (
    PostprocessOptions,
    check_nms_options,
    only_classes,
    threshold_vector,
)
from gateway.inference.sliced import SlicedInference, SliceOptions, SlicePlan
from gateway.inference.tensors import ResizedImage
from gateway.inference.triton_client import TritonDetector
from gateway.limits.concurrency_limiter import ConcurrencyLimiter
from gateway.limits.workers import Workers
from gateway.observability import metrics
from gateway.observability.request_context import stage
from sod.detections import Detections
from sod.drawing.overlay import draw_detections
from sod.encode import FORMATS, MAX_SIDE, ImageFormat, encode_image
from sod.frame import clip
from sod.image import decode_checked
from sod.jpeg_strips import join, split

Pixels = NDArray[np.uint8]

# Largest detector's input, in pixels, that is sent uncompressed; copying a larger one costs more than decoding twice.
_MAX_SENT_PIXELS = 2**20


@dataclass(frozen=True, slots=True)
class DetectionRequest:
    """What to detect in one image, and what to return.

    Attributes:
        image: An encoded image, or a string with its base64 or URL.
        threshold: One score threshold for all classes, thresholds by class id, or None for the default.
        classes: Class ids and labels of the wanted objects; None for all.
        iou_threshold: An object is suppressed by a better one with a greater IoU; None for the model's own threshold.
        class_agnostic: Whether objects of other classes suppress an object too.
        model: Name of the model; None for the default one.
        slices: How to slice the image; None detects it whole.
        max_detections: Keep at most this many objects, those with the highest scores; None keeps all.
        visualize: Whether to draw an overlay.
        overlay_format: Format of the overlay.
        quality: Quality of the overlay, 1 to 100; None for the default.
    """

    image: str | bytes
    threshold: float | dict[int, float] | None = None
    classes: tuple[int | str, ...] | None = None
    iou_threshold: float | None = None
    class_agnostic: bool = False
    model: str | None = None
    slices: SliceOptions | None = None
    max_detections: int | None = None
    visualize: bool = True
    overlay_format: ImageFormat = "jpeg"
    quality: int | None = None


@dataclass(frozen=True, slots=True)
class DetectionResult:
    """What was detected in one image.

    Attributes:
        detections: The objects, boxes in pixels of the image.
        labels: Class labels by class id.
        overlay: The encoded image with the boxes drawn; None if none was requested.
        overlay_format: Format of the overlay.
        slices: Number of slices that were detected, the whole image among them if it was; 0 without slices.
    """

    detections: Detections
    labels: tuple[str, ...]
    overlay: bytes | None = None
    overlay_format: ImageFormat = "jpeg"
    slices: int = 0


class Detector:
    """Runs detection requests: reads the image, asks Triton, draws the overlay."""

    def __init__(  # noqa: PLR0913 - parts and settings, all by name
        self,
        *,
        triton: TritonDetector,
        images: ImageInput,
        workers: Workers,
        limiter: ConcurrencyLimiter,
        sliced: SlicedInference,
        default_threshold: float,
        jpeg_quality: int,
    ) -> None:
        self._triton = triton
        self._images = images
        self._workers = workers
        self._limiter = limiter
        self._sliced = sliced
        self._default_threshold = default_threshold
        self._jpeg_quality = jpeg_quality

    async def models(self) -> tuple[list[ModelInfo], str | None]:
        """The models that a request may name, and the name of the default one; None if there is none."""
        models = await self._triton.models()
        try:
            default = (await self._triton.model_info()).name
        except DetectorUnavailableError:
            default = None
        return models, default

    async def detect(self, request: DetectionRequest, turn: asyncio.Lock | None = None) -> DetectionResult:
        """Detect objects in one image.

        Args:
            request: The image, and what to return.
            turn: Of the sliced images of one request, which are processed one after the other.

        Raises:
            GatewayError: The image cannot be fetched, read, processed or drawn; the text says why.
        """
        image = await self._images.read(request.image)
        if request.visualize:
            _check_drawable(image, request.overlay_format)
        if request.slices is not None:
            model = await self._triton.model_info(request.model)
            plan = self._sliced.plan(request.slices, (image.width, image.height), model)
            if plan is not None:
                async with turn or nullcontext(), self._sliced.admit(plan):
                    return await self._process_slices(request, image, model, plan)
        async with self._limiter.slot():
            return await self._process(request, image)

    async def _process(self, request: DetectionRequest, image: EncodedImage) -> DetectionResult:
        model = await self._triton.model_info(request.model)
        options = self._postprocess_options(request, model)
        if not request.visualize:
            with stage("infer"):
                detections = await self._triton.infer(image.data, options, model)
            return DetectionResult(_finish(detections, request, image, model), model.labels)
        with stage("decode"):
            input_size = model.input_size if model.pixel_entrance else None
            pixels, resized = await self._workers.run(decode_for_overlay, image, input_size)
        with stage("infer"):
            detections = await self._triton.infer(image.data if resized is None else resized, options, model)
        return await self._draw(request, pixels, _finish(detections, request, image, model), model)

    async def _process_slices(
        self, request: DetectionRequest, image: EncodedImage, model: ModelInfo, plan: SlicePlan
    ) -> DetectionResult:
        """Each slice takes a slot of its own, and so do decoding and drawing."""
        options = self._postprocess_options(request, model)
        async with self._limiter.slot(sliced=True):
            with stage("decode"):
                pixels = await self._workers.run(decode_checked, image.data, image.header)
        found = await self._sliced.detect(pixels, plan, options, model)
        detections = _finish(found, request, image, model)
        if not request.visualize:
            return DetectionResult(detections, model.labels, slices=len(plan.slices))
        async with self._limiter.slot(sliced=True):
            result = await self._draw(request, pixels, detections, model)
        return replace(result, slices=len(plan.slices))

    def _postprocess_options(self, request: DetectionRequest, model: ModelInfo) -> PostprocessOptions:
        check_nms_options(model, iou_threshold=request.iou_threshold, class_agnostic=request.class_agnostic)
        thresholds = threshold_vector(request.threshold, model, self._default_threshold)
        if request.classes is not None:
            thresholds = only_classes(thresholds, request.classes, model)
        return PostprocessOptions(thresholds, request.iou_threshold, request.class_agnostic)

    async def _draw(
        self, request: DetectionRequest, pixels: Pixels, detections: Detections, model: ModelInfo
    ) -> DetectionResult:
        with stage("draw"):
            drawn = await self._workers.run(draw_detections, pixels, detections, model.labels, in_place=True)
        with stage("encode"):
            quality = self._jpeg_quality if request.quality is None else request.quality
            overlay = await self._encode(drawn, request.overlay_format, quality)
        return DetectionResult(detections, model.labels, overlay, request.overlay_format)

    async def _encode(self, drawn: Pixels, overlay_format: ImageFormat, quality: int) -> bytes:
        if overlay_format != "jpeg":
            return await self._workers.run(encode_image, drawn, overlay_format, quality)
        strips = split(drawn, self._workers.cores)
        return join(
            await asyncio.gather(*(self._workers.run(encode_image, strip, "jpeg", quality) for strip in strips))
        )


def _finish(detections: Detections, request: DetectionRequest, image: EncodedImage, model: ModelInfo) -> Detections:
    """Clip, keep the best, and count."""
    detections = clip(detections, image.width, image.height)
    if request.max_detections is not None:
        detections = detections.best(request.max_detections)
    pixels = image.width * image.height
    metrics.record_image(model.name, model.labels, detections.class_ids, size=len(image.data), pixels=pixels)
    return detections


def decode_for_overlay(image: EncodedImage, input_size: tuple[int, int] | None) -> tuple[Pixels, ResizedImage | None]:
    """Decode an image to draw on, and resize it for the detector, so that Triton need not decode it again.

    Args:
        image: The encoded image.
        input_size: (height, width) of the detector's input; None if the model takes no pixels.

    Returns:
        uint8 [H, W, 3], BGR; and what to send instead of the image, None for the image itself.

    Raises:
        InvalidImageError: The image cannot be decoded.
    """
    pixels = decode_checked(image.data, image.header)
    if input_size is None:
        return pixels, None
    if input_size[0] * input_size[1] > min(pixels.shape[0] * pixels.shape[1], _MAX_SENT_PIXELS):
        return pixels, None
    return pixels, ResizedImage.of(pixels, input_size)


def _check_drawable(image: EncodedImage, overlay_format: ImageFormat) -> None:
    """Refuse before the inference an overlay that its format could not hold."""
    side = max(image.width, image.height)
    if side <= MAX_SIDE[overlay_format]:
        return
    others = [one for one in FORMATS if side <= MAX_SIDE[one]]
    hint = f"`imageFormat` {' or '.join(map(repr, others))}, or " if others else ""
    raise InputError(
        f"{overlay_format.upper()} cannot hold the drawn image of {image.width} x {image.height} pixels: "
        f"ask with {hint}`visualize` false"
    )
