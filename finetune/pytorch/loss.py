"""The loss of PP-YOLOE+ SOD: task-aligned assignment, varifocal, GIoU and distribution focal loss.

Sources: TOOD (Feng et al. 2021, arXiv:2108.07755), VarifocalNet (Zhang et al. 2021, arXiv:2008.13367), GIoU
(Rezatofighi et al. 2019, arXiv:1902.09630), GFL (Li et al. 2020, arXiv:2006.04388); weights and constants as in
PaddleDetection's `configs/smalldet`. An object that contains no anchor centre is assigned anchors within one stride of
its own centre.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from finetune.pytorch.model import BINS, HeadOutput

_CANDIDATES = 13  # anchors per object
_IOU_POWER = 6
_NEGATIVE_WEIGHT = 0.75
_LOSS_WEIGHTS = {"class": 1.0, "iou": 2.5, "dfl": 0.5}
_EPS = 1e-9


@dataclass(frozen=True, slots=True)
class Target:
    """The labels of one image.

    Attributes:
        boxes: float32 [n, 4], xyxy in pixels of the input.
        class_ids: int64 [n].
        labelled: bool [C], whether the image labels every object of a class.
    """

    boxes: Tensor
    class_ids: Tensor
    labelled: Tensor


@dataclass(frozen=True, slots=True)
class Assignment:
    """The targets of all anchors of one image.

    Attributes:
        scores: float32 [A, C], 0..1.
        boxes: float32 [A, 4], xyxy in pixels of the input.
        positive: bool [A], whether an object is assigned to the anchor.
    """

    scores: Tensor
    boxes: Tensor
    positive: Tensor


def detection_loss(output: HeadOutput, targets: list[Target]) -> tuple[Tensor, dict[str, float]]:
    """The loss of a batch, a scalar, and its parts by name."""
    boxes = output.boxes()
    scores = output.logits.sigmoid()
    with torch.no_grad():
        assignments = [
            assign(scores[i], boxes[i], output.points, output.strides, target.boxes, target.class_ids)
            for i, target in enumerate(targets)
        ]
        mask = torch.stack([class_loss_mask(a, t.labelled) for a, t in zip(assignments, targets, strict=True)])
    target_scores = torch.stack([a.scores for a in assignments])
    positive = torch.stack([a.positive for a in assignments])
    norm = target_scores.sum().clamp(min=1)
    parts = {"class": varifocal_loss(output.logits, target_scores, mask) / norm}
    if positive.any():
        weight = target_scores.sum(-1)[positive]
        target_boxes = torch.stack([a.boxes for a in assignments])[positive]
        parts["iou"] = (giou_loss(boxes[positive], target_boxes) * weight).sum() / norm
        strides = output.strides.expand(len(targets), -1, -1)[positive]
        points = output.points.expand(len(targets), -1, -1)[positive]
        distances = torch.cat([points - target_boxes[:, :2], target_boxes[:, 2:] - points], -1) / strides
        parts["dfl"] = (distribution_focal_loss(output.bins[positive], distances) * weight).sum() / norm
    total = sum((_LOSS_WEIGHTS[name] * value for name, value in parts.items()), torch.zeros(()))
    return total, {name: float(value.detach()) for name, value in parts.items()}


def class_loss_mask(assignment: Assignment, labelled: Tensor) -> Tensor:
    """Which anchors and classes enter the class loss, bool [A, C].

    At an anchor with an assigned object, all classes do: the object is of one class and not of the others. At other
    anchors, only those classes do of which the image labels every object.
    """
    return labelled[None] | assignment.positive[:, None]


def varifocal_loss(logits: Tensor, target_scores: Tensor, mask: Tensor) -> Tensor:
    """Varifocal loss summed over anchors and classes, a scalar.

    Args:
        logits: float32 [..., A, C].
        target_scores: float32 [..., A, C], 0..1; 0 where no object is assigned.
        mask: bool [..., A, C], which of them count.
    """
    negative = _NEGATIVE_WEIGHT * logits.detach().sigmoid().square()
    weight = torch.where(target_scores > 0, target_scores, negative) * mask
    return functional.binary_cross_entropy_with_logits(logits, target_scores, weight, reduction="sum")


def giou_loss(boxes: Tensor, target_boxes: Tensor) -> Tensor:
    """1 - generalised IoU of pairs of boxes [n, 4], float32 [n]."""
    low = torch.maximum(boxes[:, :2], target_boxes[:, :2])
    high = torch.minimum(boxes[:, 2:], target_boxes[:, 2:])
    intersection = (high - low).clamp(min=0).prod(-1)
    union = _areas(boxes) + _areas(target_boxes) - intersection + _EPS
    enclosing_low = torch.minimum(boxes[:, :2], target_boxes[:, :2])
    enclosing_high = torch.maximum(boxes[:, 2:], target_boxes[:, 2:])
    enclosing = (enclosing_high - enclosing_low).prod(-1) + _EPS
    return 1 - intersection / union + (enclosing - union) / enclosing


def distribution_focal_loss(bins: Tensor, distances: Tensor) -> Tensor:
    """Cross entropy with the two bins next to each distance, averaged over the four sides, float32 [n].

    Args:
        bins: float32 [n, 4, 10], logits.
        distances: float32 [n, 4], in cells.
    """
    value = (distances.clamp(BINS[0], BINS[1] - 1.01) - BINS[0]).flatten()
    left = value.floor().long()
    right_share = value - left
    log_probabilities = bins.flatten(0, 1).log_softmax(-1)
    index = torch.arange(len(left), device=left.device)
    loss = -(log_probabilities[index, left] * (1 - right_share) + log_probabilities[index, left + 1] * right_share)
    return loss.view(-1, 4).mean(-1)


def assign(  # noqa: PLR0913, PLR0917 - one tensor each
    scores: Tensor, boxes: Tensor, points: Tensor, strides: Tensor, target_boxes: Tensor, class_ids: Tensor
) -> Assignment:
    """Assign to each object the anchors with the best alignment of score and IoU.

    Args:
        scores: float32 [A, C], predicted, 0..1.
        boxes: float32 [A, 4], predicted, xyxy in pixels.
        points: float32 [A, 2], anchor centres in pixels.
        strides: float32 [A, 1], in pixels.
        target_boxes: float32 [n, 4], labelled, xyxy in pixels.
        class_ids: int64 [n], labelled.
    """
    anchors, classes = scores.shape
    if not len(target_boxes):
        return Assignment(torch.zeros_like(scores), torch.zeros_like(boxes), torch.zeros(anchors, dtype=torch.bool))
    ious = _pairwise_iou(target_boxes, boxes)
    alignment = scores.T[class_ids] * ious**_IOU_POWER
    inside = _contains(target_boxes, points)
    centre = (target_boxes[:, :2] + target_boxes[:, 2:]) / 2
    near = ((points[None] - centre[:, None]).abs() < strides[None]).all(-1)
    candidates = torch.where(inside.any(1, keepdim=True), alignment, alignment + near)
    chosen = torch.zeros_like(inside)
    chosen.scatter_(1, candidates.topk(min(_CANDIDATES, anchors), 1).indices, True)
    chosen &= inside | near
    # An anchor that several objects have chosen goes to the one that it overlaps most.
    best_iou, owner = torch.where(chosen, ious, -1.0).max(0)
    positive = best_iou >= 0
    assigned = torch.zeros_like(chosen)
    assigned[owner[positive], positive.nonzero().squeeze(1)] = True
    aligned = alignment * assigned
    scale = (ious * assigned).amax(1, keepdim=True) / (aligned.amax(1, keepdim=True) + _EPS)
    quality = (aligned * scale).amax(0)
    target_scores = functional.one_hot(class_ids[owner], classes) * (quality * positive)[:, None]
    return Assignment(target_scores, target_boxes[owner], positive)


def _contains(boxes: Tensor, points: Tensor) -> Tensor:
    """Whether boxes [n, 4] contain points [A, 2], bool [n, A]."""
    low, high = points[None] - boxes[:, None, :2], boxes[:, None, 2:] - points[None]
    return (torch.minimum(low, high) > _EPS).all(-1)


def _pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of boxes [n, 4] with boxes [m, 4], float32 [n, m]."""
    low = torch.maximum(a[:, None, :2], b[None, :, :2])
    high = torch.minimum(a[:, None, 2:], b[None, :, 2:])
    intersection = (high - low).clamp(min=0).prod(-1)
    return intersection / (_areas(a)[:, None] + _areas(b)[None] - intersection + _EPS)


def _areas(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(-1)
