"""From a picture and its thresholds to objects and an overlay; nothing here knows of HTTP."""

import base64
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.admission import Admission
from gateway.errors import DetectorUnavailableError, InputError, InvalidRequestError
from gateway.frame import clip, shown_size
from gateway.picture_input import PictureInput
from gateway.request_scope import stage
from gateway.single_flight import retrieve
from gateway.triton import ModelInfo, TritonDetector
from gateway.workers import Workers
from sod.detections import Detections
from sod.draw import draw_detections, encode_jpeg
from sod.image import decode_image

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found in one picture.

    Attributes:
        detections: The objects.
        labels: The labels of the classes, by class id.
        overlay: Base64 of the JPEG with the boxes drawn; None if it was not asked for.
    """

    detections: Detections
    labels: tuple[str, ...]
    overlay: str | None


class Detector:
    """The data plane of the gateway."""

    def __init__(  # noqa: PLR0913 - parts and settings, all by name
        self,
        *,
        triton: TritonDetector,
        pictures: PictureInput,
        workers: Workers,
        admission: Admission,
        default_threshold: float,
        max_pixels: int,
        jpeg_quality: int,
    ) -> None:
        self._triton = triton
        self._pictures = pictures
        self._workers = workers
        self._admission = admission
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

    async def detect(
        self, image: str, threshold: float | dict[int, float] | None, *, visualize: bool, model_name: str | None = None
    ) -> Outcome:
        """Detect objects in the picture that `image` holds (base64) or names (URL).

        Args:
            image: Base64 or URL.
            threshold: One for all classes, by class id, or None for the default.
            visualize: Whether to draw the overlay.
            model_name: The model to ask; None for the default.
        """
        picture = await self._pictures.read(image)
        async with self._admission.slot():
            return await self._look(picture, threshold, visualize=visualize, model_name=model_name)

    async def _look(
        self, picture: bytes, threshold: float | dict[int, float] | None, *, visualize: bool, model_name: str | None
    ) -> Outcome:
        model = await self._triton.model_info(model_name)
        thresholds = threshold_vector(threshold, model, self._default_threshold)
        if not visualize:
            with stage("infer"):
                detections = await self._triton.infer(picture, thresholds, model)
            width, height = await self._workers.run(shown_size, picture)
            return Outcome(clip(detections, width, height), model.labels, None)
        # The gateway decodes for the overlay while Triton decodes and infers.
        decoding = self._workers.run(decode_image, picture, self._max_pixels)
        try:
            with stage("infer"):
                detections = await self._triton.infer(picture, thresholds, model)
        except BaseException:
            decoding.cancel()
            decoding.add_done_callback(retrieve)
            raise
        pixels = await decoding
        height, width = pixels.shape[:2]
        detections = clip(detections, width, height)
        with stage("draw"):
            overlay = await self._workers.run(self._draw, pixels, detections, model.labels)
        return Outcome(detections, model.labels, overlay)

    def _draw(self, pixels: Pixels, detections: Detections, labels: tuple[str, ...]) -> str:
        drawn = draw_detections(pixels, detections, labels)
        try:
            jpeg = encode_jpeg(drawn, quality=self._jpeg_quality)
        except ValueError:
            height, width = pixels.shape[:2]
            message = f"A JPEG cannot hold the drawn picture of {width} x {height} pixels: ask with `visualize` false"
            raise InputError(message) from None
        return base64.b64encode(jpeg).decode("ascii")


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
