"""What a model finds, and how good it is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle

from benchmarks.evaluation.datasets import Dataset, Labels, Sample
from benchmarks.evaluation.metrics import Figures, evaluate
from finetune.data.dataset import Labelled
from finetune.training.crops import Stored, whole
from sod.detections import Detections


def predict(model: Any, image: Stored, width: int, height: int) -> Detections:
    """Detections over 0.01 in pixels of an image of that size, by the model's own NMS."""
    pixels = whole(image).pixels.transpose(2, 0, 1)[None].astype(np.float32) / 255
    scale = np.array([[pixels.shape[2] / height, pixels.shape[3] / width]], np.float32)
    with paddle.no_grad():
        found = model({"image": paddle.to_tensor(pixels), "scale_factor": paddle.to_tensor(scale)})
    rows = found["bbox"].numpy().reshape(-1, 6)[: int(found["bbox_num"].sum())]
    rows = rows[rows[:, 0] >= 0]  # a single row of -1 says that there is nothing
    return Detections(rows[:, 2:].copy(), rows[:, 1].copy(), rows[:, 0].astype(np.int32))


def figures(model: Any, images: Sequence[tuple[Labelled, Stored]], names: Sequence[str]) -> Figures:
    """COCO's figures in pixels of the images; detections of classes that an image leaves unlabelled are left out."""
    model.eval()
    samples, found = [], []
    for labelled, stored in images:
        seen = predict(model, stored, labelled.width, labelled.height)
        kept = ~np.isin(seen.class_ids, list(labelled.unlabelled))
        found.append(Detections(seen.boxes[kept], seen.scores[kept], seen.class_ids[kept]))
        counted = ~np.isin(labelled.class_ids, list(labelled.unlabelled))
        labels = Labels(labelled.boxes[counted], labelled.class_ids[counted].astype(np.int32))
        samples.append(Sample(labelled.image, labelled.width, labelled.height, labels))
    return evaluate(Dataset(tuple(samples), tuple(names)), found, tuple(names))
