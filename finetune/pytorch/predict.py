"""Detections of the twin, and how good they are."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks.evaluation.datasets import Dataset, Labels, Sample
from benchmarks.evaluation.metrics import Figures, evaluate
from finetune.data.sources import CLASSES
from finetune.pytorch.model import Detector
from finetune.training.crops import SERVED, Crop, Stored, whole
from sod.detections import Detections
from sod.nms import multiclass_nms


def tensor(crops: Sequence[Crop]) -> Tensor:
    """Float32 [N, 3, S, S], 0..1."""
    return torch.from_numpy(np.stack([c.pixels for c in crops])).permute(0, 3, 1, 2).float().div_(255)


@torch.no_grad()
def predict(model: Detector, images: Sequence[Stored]) -> list[Detections]:
    """Detections in pixels of 640 by 640."""
    model.eval()
    found = []
    for image in images:
        raw = model(tensor([whole(image)]))
        scores = raw.logits[0].sigmoid().T.contiguous().numpy()
        found.append(multiclass_nms(raw.boxes()[0].numpy(), scores, np.full(len(scores), 0.01, np.float32)))
    return found


def figures(model: Detector, images: Sequence[Stored], samples: Sequence[Sample]) -> Figures:
    """COCO's figures at 640 by 640; areas are those there, so AP small is not that of the source images."""
    squares = tuple(
        Sample(s.image, SERVED, SERVED, Labels(p.boxes * SERVED, p.class_ids.astype(np.int32)))
        for p, s in zip(images, samples, strict=True)
    )
    return evaluate(Dataset(squares, CLASSES), predict(model, images), CLASSES)
