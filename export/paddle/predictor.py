"""Runs Paddle models with Paddle Inference on the CPU: the reference of every artefact."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import ExportError
from export.paddle.inference_model import FEEDS, PaddleModel, PreNmsModel
from export.paddle.runtime import import_paddle, paddle_message, suppress_native_output
from export.verification.reference import Detector, RawOutputs
from sod.detections import Detections
from sod.image import scale_factor, to_pixels


class PaddleRunner:
    """Runs a Paddle program in FP32 on the CPU, either form: `inference.json` or `inference.pdmodel`.

    oneDNN makes it about four times faster, and adds differences of its own (SOD-S: 0.0017 px, 0.00003 of score).

    Raises:
        ExportError: Paddle Inference cannot load the program.
    """

    def __init__(self, program: Path, params: Path, *, onednn: bool = False) -> None:
        inference = import_paddle().inference
        config = inference.Config(str(program), str(params))
        config.disable_gpu()
        if onednn:
            config.enable_mkldnn()
        else:
            config.disable_mkldnn()
        config.disable_glog_info()
        try:
            with suppress_native_output():
                self._predictor = inference.create_predictor(config)
        except Exception as error:
            raise ExportError(f"Paddle Inference cannot load {program}: {paddle_message(error)}") from error

    def __call__(self, image: NDArray[np.float32], scale: NDArray[np.float32]) -> list[NDArray[Any]]:
        """Run the program.

        Args:
            image: the feed `image`, float32 [N, 3, H, W].
            scale: the feed `scale_factor`, float32 [N, 2] (y, x).

        Returns:
            The fetches, in the program's order.
        """
        for name, value in zip(FEEDS, (image, scale), strict=True):
            self._predictor.get_input_handle(name).copy_from_cpu(np.ascontiguousarray(value, np.float32))
        with suppress_native_output():
            self._predictor.run()
        names = self._predictor.get_output_names()
        return [self._predictor.get_output_handle(name).copy_to_cpu() for name in names]


class ReferenceDetector:
    """The complete model with its own NMS, as PaddleX runs it: the reference of the served detections.

    Raises:
        ExportError: Paddle Inference cannot load the model.
    """

    def __init__(self, model: PaddleModel, *, onednn: bool = False) -> None:
        self.config = model.config
        self._run = PaddleRunner(model.program, model.params, onednn=onednn)

    def __call__(self, image: NDArray[np.uint8]) -> Detections:
        """Detect on an image.

        Args:
            image: uint8 BGR [h, w, 3].

        Returns:
            Up to 500 objects with scores over 0.01; boxes in pixels of the image.
        """
        size = self.config.height, self.config.width
        return self.detect_pixels(to_pixels(image, size), scale_factor(image, size))

    def detect_pixels(self, pixels: NDArray[np.uint8], scale: NDArray[np.float32]) -> Detections:
        """Detect on pixels of the input's size.

        Args:
            pixels: uint8 RGB [H, W, 3].
            scale: float32 [2], the input's height and width over those of the image.
        """
        image = to_paddle_image(pixels[None])
        if self.config.normalise is not None:
            image = self.config.normalise.apply(image)
        rows = self._run(image, scale[None])[0].reshape(-1, 6)
        # For an image without objects Paddle returns one row of -1.
        rows = rows[rows[:, 0] >= 0]
        return Detections(rows[:, 2:6].copy(), rows[:, 1].copy(), rows[:, 0].astype(np.int32))


def paddle_detector(model: PreNmsModel, *, onednn: bool = False) -> Detector:
    """The model without its NMS as a detector; boxes in pixels of the input."""
    runner = PaddleRunner(model.program, model.params, onednn=onednn)

    def run(pixels: NDArray[np.uint8]) -> RawOutputs:
        boxes, scores = runner(to_paddle_image(pixels), np.ones((len(pixels), 2), np.float32))
        return boxes, scores

    return run


def to_paddle_image(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 RGB [N, H, W, 3] → the feed `image`, float32 [N, 3, H, W] of 0..255."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32)
