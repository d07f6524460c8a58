"""Predictions and accuracy of the PyTorch detector."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks.evaluation.metrics import Figures, evaluate
from finetune.data.sources import CLASSES
from finetune.pytorch.model import Detector
from finetune.training.augmentation import CachedImage, Crop, whole_image
from finetune.variants import INPUT_SIZE
from sod.datasets.dataset import Dataset, LabelledImage
from sod.detections import Detections
from sod.nms import multiclass_nms


def to_tensor(crops: Sequence[Crop]) -> Tensor:
    """The crops' pixels, float32 [N, 3, S, S], 0..1."""
    return torch.from_numpy(np.stack([c.pixels for c in crops])).permute(0, 3, 1, 2).float().div_(255)


@torch.no_grad()
def predict(model: Detector, images: Sequence[CachedImage]) -> list[Detections]:
    """Detections with scores above 0.01 after NMS, in pixels of the 640 by 640 input."""
    model.eval()
    predictions = []
    for image in images:
        output = model(to_tensor([whole_image(image)]))
        scores = output.logits[0].sigmoid().T.contiguous().numpy()
        threshold = np.full(len(scores), 0.01, np.float32)
        predictions.append(multiclass_nms(output.boxes()[0].numpy(), scores, threshold))
    return predictions


def evaluate_model(model: Detector, images: Sequence[CachedImage], samples: Sequence[LabelledImage]) -> Figures:
    """COCO's metrics in pixels of the input; AP small is that of objects which are small there, not in the source."""
    squares = tuple(
        LabelledImage(sample.image, INPUT_SIZE, INPUT_SIZE, image.boxes * INPUT_SIZE, image.class_ids)
        for image, sample in zip(images, samples, strict=True)
    )
    return evaluate(Dataset(squares, CLASSES), predict(model, images), CLASSES)
