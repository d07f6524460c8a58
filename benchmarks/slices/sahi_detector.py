"""SAHI's detection model for a detector of the model repository, in the engine and precision of a profile.

Source: SAHI 0.12, `sahi.models.base.DetectionModel`. SAHI slices, detects slice after slice, and merges.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sahi.models.base import DetectionModel
from sahi.predict import get_sliced_prediction
from sahi.prediction import ObjectPrediction

from benchmarks.performance.baselines.detector_config import DetectorConfig
from benchmarks.performance.baselines.engines import OpenVinoEngine
from benchmarks.slices.options import MATCH_THRESHOLD, OVERLAP
from sod.detections import Detections
from sod.frame import clip
from sod.image import resize, scale_factor
from sod.nms import multiclass_nms


class SahiDetector(DetectionModel):
    """A detector of the model repository for SAHI. All cores compute one slice, since SAHI sends one at a time."""

    def __init__(self, config: DetectorConfig, classes: int, threshold: float) -> None:
        """Load the detector.

        Args:
            config: the detector in a profile of OpenVINO.
            classes: number of its classes.
            threshold: score threshold of every class.
        """
        self._config = config
        self._thresholds = np.full(classes, threshold, np.float32)
        self._found = Detections.empty()
        super().__init__(device="cpu", confidence_threshold=threshold)

    def set_device(self, device: str | None = None) -> None:
        """Without PyTorch there is nothing to choose."""
        self.device = device

    def load_model(self) -> None:
        """Compile the network for one image at a time on all cores."""
        self.model = OpenVinoEngine(self._config, np.zeros((*self._config.size, 3), np.uint8), "latency")

    def perform_inference(self, image: NDArray[np.uint8]) -> None:
        """Detect the objects of one slice, uint8 RGB [H, W, 3], with the resize and the NMS of our server."""
        pixels = np.asarray(resize(image, self._config.size), np.uint8)
        boxes, scores = self.model.infer(pixels)
        factor = scale_factor(image, self._config.size)
        found = multiclass_nms(boxes[0], scores[0], self._thresholds, factor)
        self._found = clip(found, image.shape[1], image.shape[0])

    def _create_object_prediction_list_from_original_predictions(
        self, shift_amount_list: Any = None, full_shape_list: Any = None
    ) -> None:
        shift = (shift_amount_list or [[0, 0]])[0]
        shift = shift if isinstance(shift, list) else shift_amount_list
        shape = (full_shape_list or [None])[0]
        shape = shape if isinstance(shape, list) else full_shape_list
        rows = zip(self._found.boxes.tolist(), self._found.scores.tolist(), self._found.class_ids.tolist(), strict=True)
        self._object_prediction_list_per_image = [
            [
                ObjectPrediction(
                    bbox=box, score=score, category_id=class_id, category_name=str(class_id),
                    shift_amount=shift, full_shape=shape,
                )
                for box, score, class_id in rows
            ]
        ]  # fmt: skip


def detect(model: SahiDetector, file: str, side: int) -> Detections:
    """Detect an image file in slices, with the settings of our server: NMS by IoS 0.6, and the whole image too.

    Args:
        model: the detector.
        file: path of the image.
        side: of a slice in pixels.
    """
    result = get_sliced_prediction(
        file,
        model,
        slice_height=side,
        slice_width=side,
        overlap_height_ratio=OVERLAP,
        overlap_width_ratio=OVERLAP,
        postprocess_type="NMS",
        postprocess_match_metric="IOS",
        postprocess_match_threshold=MATCH_THRESHOLD,
        verbose=0,
    )
    found = result.object_prediction_list
    return Detections(
        np.array([one.bbox.to_xyxy() for one in found], np.float32).reshape(-1, 4),
        np.array([one.score.value for one in found], np.float32),
        np.array([one.category.id for one in found], np.int32),
    )
