"""Triton model: encoded images → the detector's pixels."""

import os

import cv2
import numpy as np

from sod.errors import InvalidImageError
from sod.formats.image_structure import StructureLimits
from sod.image import DEFAULT_LIMITS, decode_image, scale_factor, to_pixels
from sod.interface import ERROR, IMAGE, PIXELS, SCALE_FACTOR
from sod.thread_pool import DEFAULT_TASK_TIMEOUT_S
from sod.triton.requests import Arrays, ModelConfig, Request, RequestPool, as_bytes


class TritonPythonModel:
    """`image` BYTES [N, 1] → `pixels` UINT8 [N, H, W, 3], `scale_factor` FP32 [N, 2], `error` BYTES [N, 1].

    H and W are the dims of the output `pixels` in config.pbtxt. For an image that cannot be decoded the pixels are zero
    and `error` says why; a request without any valid image fails with INVALID_ARGUMENT.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Read the configuration and load every library, so that the first request is not slow."""
        config = ModelConfig(args)
        height, width, _ = config.output_dims(PIXELS)
        self._size = (height, width)
        self._no_pixels = np.zeros((height, width, 3), np.uint8)
        self._limits = StructureLimits(
            pixels=config.number("max_image_pixels", DEFAULT_LIMITS.pixels, least=1),
            scans=config.number("max_image_scans", DEFAULT_LIMITS.scans, least=1),
            metadata_bytes=config.number("max_image_metadata_bytes", DEFAULT_LIMITS.metadata_bytes, least=0),
        )
        # Images are processed in parallel; OpenCV's own threads would compete with them.
        cv2.setNumThreads(1)
        self._warm_up()
        self._pool = RequestPool(
            self._compute,
            [IMAGE],
            int(config.parameter("threads", str(os.cpu_count()))),
            time_limit_s=config.number("task_timeout_s", DEFAULT_TASK_TIMEOUT_S, least=0.1),
        )

    def execute(self, requests: list[Request]) -> None:
        """Hand the requests to the thread pool."""
        self._pool.submit(requests)

    def finalize(self) -> None:
        """Finish the requests in the pool."""
        self._pool.close()

    def _compute(self, inputs: Arrays) -> Arrays:
        images = inputs[IMAGE].ravel()
        pixels = [self._no_pixels] * len(images)
        factors = np.ones((len(images), 2), np.float32)
        errors = [""] * len(images)
        for i, data in enumerate(images):
            try:
                image = decode_image(data, self._limits)
            except InvalidImageError as error:
                errors[i] = str(error)
                continue
            pixels[i] = to_pixels(image, self._size)
            factors[i] = scale_factor(image, self._size)
        if all(errors):
            raise InvalidImageError("; ".join(dict.fromkeys(errors)))
        # Triton copies the outputs; a single image, the usual case, needs no copy before.
        batch = pixels[0][None] if len(pixels) == 1 else np.stack(pixels)
        return {PIXELS: batch, SCALE_FACTOR: factors, ERROR: as_bytes(errors)}

    def _warm_up(self) -> None:
        for extension in (".jpg", ".png"):
            encoded = cv2.imencode(extension, np.zeros((32, 32, 3), np.uint8))[1].tobytes()
            to_pixels(decode_image(encoded), self._size)
