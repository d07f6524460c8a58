"""Predictions and accuracy of a ppdet model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle

from benchmarks.evaluation.metrics import Figures, evaluate
from finetune.training.augmentation import CachedImage, whole_image
from sod.datasets.dataset import Dataset, LabelledImage
from sod.detections import Detections


def predict(model: Any, image: CachedImage, width: int, height: int) -> Detections:
    """Detections with scores above 0.01 after the model's own NMS, in pixels of an image of that width and height."""
    pixels = whole_image(image).pixels.transpose(2, 0, 1)[None].astype(np.float32) / 255
    scale = np.array([[pixels.shape[2] / height, pixels.shape[3] / width]], np.float32)
    with paddle.no_grad():
        output = model({"image": paddle.to_tensor(pixels), "scale_factor": paddle.to_tensor(scale)})
    # Columns: class id, score, x1, y1, x2, y2.
    objects = output["bbox"].numpy().reshape(-1, 6)[: int(output["bbox_num"].sum())]
    objects = objects[objects[:, 0] >= 0]  # ppdet marks an empty result by one row of -1
    return Detections(objects[:, 2:].copy(), objects[:, 1].copy(), objects[:, 0].astype(np.int32))


def evaluate_model(model: Any, images: Sequence[tuple[LabelledImage, CachedImage]], names: Sequence[str]) -> Figures:
    """COCO's metrics in pixels of the images; classes that an image leaves unlabelled are ignored on it."""
    model.eval()
    predictions = [predict(model, cached, labelled.width, labelled.height) for labelled, cached in images]
    return evaluate(Dataset(tuple(labelled for labelled, _ in images), tuple(names)), predictions, tuple(names))
