"""From an image and its thresholds to objects and an overlay; nothing here knows of HTTP."""

import asyncio
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.errors import DetectorUnavailableError, InputError, InvalidRequestError
from gateway.images.image_input import EncodedImage, ImageInput
from gateway.inference.triton_client import ModelInfo, TritonDetector
from gateway.limits.concurrency_limiter import ConcurrencyLimiter
from gateway.limits.workers import Workers
from gateway.observability import metrics
from gateway.observability.request_context import stage
from sod.detections import Detections
from sod.draw import draw_detections
from sod.encode import FORMATS, MAX_SIDE, ImageFormat, encode_image, encode_plainly
from sod.frame import clip, to_source
from sod.image import decode_image, resize, scale_factor
from sod.jpeg_strips import join, split

Pixels = NDArray[np.uint8]

# Pixels of an image that is sent without compression: beyond, copying costs more than decoding twice.
_MAX_SENT = 2**20


@dataclass(frozen=True, slots=True)
class DetectionRequest:
    """What to find in one image, and how to answer.

    Attributes:
        image: An encoded image, or a string of its base64 or URL.
        threshold: One for all classes, by class id, or None for the default.
        model: The model to ask; None for the default.
        max_detections: Keep so many objects, the highest scores; None keeps all.
        visualize: Whether to draw the overlay.
        image_format: of the overlay.
        quality: of the overlay, 1..100; None for the default.
    """

    image: str | bytes
    threshold: float | dict[int, float] | None = None
    model: str | None = None
    max_detections: int | None = None
    visualize: bool = True
    image_format: ImageFormat = "jpeg"
    quality: int | None = None


@dataclass(frozen=True, slots=True)
class DetectionResult:
    """What was found in one image.

    Attributes:
        detections: The objects.
        labels: The labels of the classes, by class id.
        overlay: The encoded image with the boxes drawn; None if it was not asked for.
        overlay_format: of it.
    """

    detections: Detections
    labels: tuple[str, ...]
    overlay: bytes | None = None
    overlay_format: ImageFormat = "jpeg"


@dataclass(frozen=True, slots=True)
class Resized:
    """An image as the detector's stage of preprocessing would resize it, encoded without loss.

    Attributes:
        data: the encoded image.
        scale_factor: float32 [2], (scale_y, scale_x): its size over the source's.
    """

    data: bytes
    scale_factor: NDArray[np.float32]


class Detector:
    """The data plane of the gateway."""

    def __init__(  # noqa: PLR0913 - parts and settings, all by name
        self,
        *,
        triton: TritonDetector,
        images: ImageInput,
        workers: Workers,
        limiter: ConcurrencyLimiter,
        default_threshold: float,
        max_pixels: int,
        jpeg_quality: int,
    ) -> None:
        self._triton = triton
        self._images = images
        self._workers = workers
        self._admission = limiter
        self._default_threshold = default_threshold
        self._max_pixels = max_pixels
        self._jpeg_quality = jpeg_quality

    async def models(self) -> tuple[list[ModelInfo], str | None]:
        """The models that may be asked, and the name of the default one; None if there is none."""
        models = await self._triton.models()
        try:
            default = (await self._triton.model_info()).name
        except DetectorUnavailableError:
            default = None
        return models, default

    async def detect(self, question: DetectionRequest) -> DetectionResult:
        """Detect objects in one image.

        Raises:
            GatewayError: it cannot be had, read, asked about or drawn; the text says why.
        """
        image = await self._images.read(question.image)
        if question.visualize:
            _check_drawable(image, question.image_format)
        async with self._admission.slot():
            return await self._look(question, image)

    async def _look(self, question: DetectionRequest, image: EncodedImage) -> DetectionResult:
        model = await self._triton.model_info(question.model)
        thresholds = threshold_vector(question.threshold, model, self._default_threshold)
        if not question.visualize:
            return DetectionResult(await self._find(question, image, thresholds, model), model.labels)
        pixels, sent = await self._decode(image, model)
        detections = await self._find(question, image, thresholds, model, sent)
        with stage("draw"):
            drawn = await self._workers.run(draw_detections, pixels, detections, model.labels, in_place=True)
        with stage("encode"):
            quality = self._jpeg_quality if question.quality is None else question.quality
            overlay = await self._encode(drawn, question.image_format, quality)
        return DetectionResult(detections, model.labels, overlay, question.image_format)

    async def _encode(self, drawn: Pixels, image_format: ImageFormat, quality: int) -> bytes:
        if image_format != "jpeg":
            return await self._workers.run(encode_image, drawn, image_format, quality)
        strips = split(drawn, self._workers.cores)
        return join(
            await asyncio.gather(*(self._workers.run(encode_image, strip, "jpeg", quality) for strip in strips))
        )

    async def _find(
        self,
        question: DetectionRequest,
        image: EncodedImage,
        thresholds: NDArray[np.float32],
        model: ModelInfo,
        sent: Resized | None = None,
    ) -> Detections:
        with stage("infer"):
            detections = await self._triton.infer(image.data if sent is None else sent.data, thresholds, model)
        if sent is not None:
            detections = to_source(detections, sent.scale_factor)
        detections = clip(detections, image.width, image.height)
        if question.max_detections is not None:
            detections = detections.best(question.max_detections)
        metrics.record_image(
            model.name,
            model.labels,
            detections.class_ids,
            size=len(image.data),
            pixels=image.width * image.height,
        )
        return detections

    async def _decode(self, image: EncodedImage, model: ModelInfo) -> tuple[Pixels, Resized | None]:
        with stage("decode"):
            return await self._workers.run(decode, image.data, self._max_pixels, model.input_size)


def decode(data: bytes, max_pixels: int, size: tuple[int, int] | None) -> tuple[Pixels, Resized | None]:
    """Decode an image to draw on, and resize it for the detector where that spares Triton the decoding.

    Args:
        data: the encoded image.
        max_pixels: that it may have.
        size: (height, width) of the detector's input, if it is known.

    Returns:
        uint8 [H, W, 3], BGR; and what to send in the image's place, None for the image itself.

    Raises:
        InvalidImageError: it cannot be decoded.
    """
    pixels = decode_image(data, max_pixels)
    if size is None or size[0] * size[1] > min(pixels.shape[0] * pixels.shape[1], _MAX_SENT):
        return pixels, None
    return pixels, Resized(encode_plainly(resize(pixels, size)), scale_factor(pixels, size))


def _check_drawable(image: EncodedImage, image_format: ImageFormat) -> None:
    """Refuse before the inference what could not be encoded after it."""
    side = max(image.width, image.height)
    if side <= MAX_SIDE[image_format]:
        return
    others = [one for one in FORMATS if side <= MAX_SIDE[one]]
    hint = f"`imageFormat` {' or '.join(map(repr, others))}, or " if others else ""
    raise InputError(
        f"{image_format.upper()} cannot hold the drawn image of {image.width} x {image.height} pixels: "
        f"ask with {hint}`visualize` false"
    )


def threshold_vector(
    threshold: float | dict[int, float] | None, model: ModelInfo, default: float
) -> NDArray[np.float32]:
    """The threshold of every class: float32 [classes].

    Args:
        threshold: The request's.
        model: Its own thresholds take the place of the default.
        default: The gateway's, for classes that neither the request nor the model says anything of.

    Raises:
        InvalidRequestError: a class id that the model has not.
    """
    classes = len(model.labels)
    if isinstance(threshold, float):
        return np.full(classes, threshold, np.float32)
    own = model.thresholds or (None,) * classes
    vector = np.array([default if value is None else value for value in own], np.float32)
    if isinstance(threshold, dict):
        for class_id, value in threshold.items():
            if not 0 <= class_id < classes:
                message = f"the model has no class {class_id}; its class ids are 0 to {classes - 1}"
                raise InvalidRequestError([{"type": "threshold_class", "loc": "body.threshold", "msg": message}])
            vector[class_id] = value
    return vector
