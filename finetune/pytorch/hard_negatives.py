"""False detections of a model in its training images, which crops then contain more often."""

import numpy as np
import torch
from numpy.typing import NDArray

from finetune.data.sources import Source
from finetune.pytorch.evaluation import to_tensor
from finetune.pytorch.model import Detector
from finetune.training.augmentation import CachedImage, Crop, whole_image
from finetune.variants import INPUT_SIZE
from sod.nms import multiclass_nms

_SCORE = 0.25
_TOUCHES = 0.1  # a detection with a larger share of its area in a labelled box is not false
_MOST = 200  # of an image, those with the highest scores


def false_detections(model: Detector, image: CachedImage, source: Source) -> NDArray[np.float32]:
    """Where a model finds objects of labelled classes that no label touches, in the whole image and in slices of it.

    Args:
        model: the detector, in evaluation mode.
        image: with its labels.
        source: tells which classes are labelled.

    Returns:
        Boxes as shares of the sides, float32 [m, 4], xyxy.
    """
    height, width = image.pixels.shape[:2]
    parts = [(whole_image(image), np.zeros(2), np.ones(2))]
    if max(height, width) > INPUT_SIZE:
        for y in _starts(height):
            for x in _starts(width):
                pixels = image.pixels[y : y + INPUT_SIZE, x : x + INPUT_SIZE]
                share = np.array([pixels.shape[1] / width, pixels.shape[0] / height])
                part = CachedImage(pixels, np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
                parts.append((whole_image(part), np.array([x / width, y / height]), share))
    found = [_found(model, crop, corner, share, source) for crop, corner, share in parts]
    boxes, scores = (np.concatenate(values) for values in zip(*found, strict=True))
    is_false = ~_touched(boxes, image.boxes)
    best = np.argsort(-scores[is_false])[:_MOST]
    return np.asarray(boxes[is_false][best], np.float32)


def _starts(side: int) -> list[int]:
    """First pixels of slices that cover a side without gap."""
    count = -(-side // INPUT_SIZE)
    return [round(number * max(0, side - INPUT_SIZE) / max(1, count - 1)) for number in range(count)]


@torch.no_grad()
def _found(
    model: Detector, crop: Crop, corner: NDArray[np.float64], share: NDArray[np.float64], source: Source
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Boxes as shares of the image's sides [n, 4], and scores [n]."""
    output = model(to_tensor([crop]))
    scores = output.logits[0].sigmoid().T.contiguous().numpy()
    detections = multiclass_nms(output.boxes()[0].numpy(), scores, np.full(len(scores), _SCORE, np.float32))
    counts = source.labelled()[detections.class_ids]
    boxes = detections.boxes[counts] / INPUT_SIZE * np.tile(share, 2) + np.tile(corner, 2)
    return boxes, detections.scores[counts]


def _touched(boxes: NDArray[np.float64], labelled: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether each box has more than a tenth of its area in one labelled box, bool [n]."""
    if not len(labelled) or not len(boxes):
        return np.zeros(len(boxes), np.bool_)
    corners = (
        np.maximum(boxes[:, None, :2], labelled[None, :, :2]),
        np.minimum(boxes[:, None, 2:], labelled[None, :, 2:]),
    )
    common = np.clip(corners[1] - corners[0], 0, None).prod(2).max(1)
    return np.asarray(common > _TOUCHES * (boxes[:, 2:] - boxes[:, :2]).prod(1))
