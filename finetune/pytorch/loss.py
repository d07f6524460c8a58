"""What PP-YOLOE+ SOD is trained on: task-aligned assignment, varifocal, GIoU and distribution focal loss.

Sources: TOOD (Feng et al. 2021, arXiv:2108.07755), VarifocalNet (Zhang et al. 2021, arXiv:2008.13367), GIoU
(Rezatofighi et al. 2019, arXiv:1902.09630), GFL (Li et al. 2020, arXiv:2006.04388); weights and constants as in
PaddleDetection's `configs/smalldet`. Objects that hold no anchor's centre take anchors within one stride of their own.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from finetune.pytorch.model import BINS, Raw

_TOP = 13
_IOU_POWER = 6
_NEGATIVE_WEIGHT = 0.75
_WEIGHTS = {"class": 1.0, "iou": 2.5, "dfl": 0.5}
_EPS = 1e-9


@dataclass(frozen=True, slots=True)
class Target:
    """What is in one image.

    Attributes:
        boxes: float32 [n, 4], x1, y1, x2, y2 in pixels of the input.
        class_ids: int64 [n].
        labelled: bool [C]: classes that are labelled wherever they are seen.
    """

    boxes: Tensor
    class_ids: Tensor
    labelled: Tensor


@dataclass(frozen=True, slots=True)
class Assigned:
    """What each anchor is to say: `scores` float32 [A, C], `boxes` float32 [A, 4], `positive` bool [A]."""

    scores: Tensor
    boxes: Tensor
    positive: Tensor


def detection_loss(raw: Raw, targets: list[Target]) -> tuple[Tensor, dict[str, float]]:
    """The loss of a batch, and its parts by name."""
    boxes = raw.boxes()
    scores = raw.logits.sigmoid()
    with torch.no_grad():
        assigned = [
            assign(scores[i], boxes[i], raw.points, raw.strides, target.boxes, target.class_ids)
            for i, target in enumerate(targets)
        ]
        counted = torch.stack([counts(a, t.labelled) for a, t in zip(assigned, targets, strict=True)])
    wanted = torch.stack([a.scores for a in assigned])
    positive = torch.stack([a.positive for a in assigned])
    norm = wanted.sum().clamp(min=1)
    parts = {"class": varifocal(raw.logits, wanted, counted) / norm}
    if positive.any():
        weight = wanted.sum(-1)[positive]
        goal = torch.stack([a.boxes for a in assigned])[positive]
        parts["iou"] = (giou_loss(boxes[positive], goal) * weight).sum() / norm
        strides = raw.strides.expand(len(targets), -1, -1)[positive]
        points = raw.points.expand(len(targets), -1, -1)[positive]
        distances = torch.cat([points - goal[:, :2], goal[:, 2:] - points], -1) / strides
        parts["dfl"] = (bin_loss(raw.bins[positive], distances) * weight).sum() / norm
    total = sum((_WEIGHTS[name] * value for name, value in parts.items()), torch.zeros(()))
    return total, {name: float(value.detach()) for name, value in parts.items()}


def counts(assigned: Assigned, labelled: Tensor) -> Tensor:
    """Where the class loss counts, bool [A, C].

    At an anchor that has an object every class counts: it is that one and no other. Elsewhere only classes that would
    have been labelled do.
    """
    return labelled[None] | assigned.positive[:, None]


def varifocal(logits: Tensor, wanted: Tensor, counted: Tensor) -> Tensor:
    """Sum over all anchors and classes, float32 scalar; `wanted` in 0..1, 0 where nothing is."""
    weight = torch.where(wanted > 0, wanted, _NEGATIVE_WEIGHT * logits.detach().sigmoid().square()) * counted
    return functional.binary_cross_entropy_with_logits(logits, wanted, weight, reduction="sum")


def giou_loss(boxes: Tensor, goal: Tensor) -> Tensor:
    """1 - generalised IoU of pairs, float32 [n]."""
    low, high = torch.maximum(boxes[:, :2], goal[:, :2]), torch.minimum(boxes[:, 2:], goal[:, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    union = _areas(boxes) + _areas(goal) - shared + _EPS
    around = (torch.maximum(boxes[:, 2:], goal[:, 2:]) - torch.minimum(boxes[:, :2], goal[:, :2])).prod(-1) + _EPS
    return 1 - shared / union + (around - union) / around


def bin_loss(bins: Tensor, distances: Tensor) -> Tensor:
    """Cross entropy of the two bins beside each distance, mean over the four sides; float32 [n].

    Args:
        bins: float32 [n, 4, 10], logits.
        distances: float32 [n, 4], in cells.
    """
    value = (distances.clamp(BINS[0], BINS[1] - 1.01) - BINS[0]).flatten()
    left = value.floor().long()
    right_share = value - left
    logs = bins.flatten(0, 1).log_softmax(-1)
    rows = torch.arange(len(left), device=left.device)
    loss = -(logs[rows, left] * (1 - right_share) + logs[rows, left + 1] * right_share)
    return loss.view(-1, 4).mean(-1)


def assign(  # noqa: PLR0913, PLR0917 - one tensor each
    scores: Tensor, boxes: Tensor, points: Tensor, strides: Tensor, goal: Tensor, class_ids: Tensor
) -> Assigned:
    """Give each object the anchors that score and fit it best.

    Args:
        scores: float32 [A, C], predicted.
        boxes: float32 [A, 4], predicted, pixels.
        points: float32 [A, 2], anchor centres, pixels.
        strides: float32 [A, 1].
        goal: float32 [n, 4], labelled boxes.
        class_ids: int64 [n].
    """
    anchors, classes = scores.shape
    if not len(goal):
        return Assigned(torch.zeros_like(scores), torch.zeros_like(boxes), torch.zeros(anchors, dtype=torch.bool))
    ious = _ious(goal, boxes)
    metrics = scores.T[class_ids] * ious**_IOU_POWER
    inside = _within(points, goal)
    centre = (goal[:, :2] + goal[:, 2:]) / 2
    near = ((points[None] - centre[:, None]).abs() < strides[None]).all(-1)
    candidates = torch.where(inside.any(1, keepdim=True), metrics, metrics + near)
    chosen = torch.zeros_like(inside)
    chosen.scatter_(1, candidates.topk(min(_TOP, anchors), 1).indices, True)
    chosen &= inside | near
    # An anchor that several objects want goes to the one it fits best.
    fit = torch.where(chosen, ious, -1.0)
    best, owner = fit.max(0)
    positive = best >= 0
    mine = torch.zeros_like(chosen)
    mine[owner[positive], positive.nonzero().squeeze(1)] = True
    aligned = metrics * mine
    scale = (ious * mine).amax(1, keepdim=True) / (aligned.amax(1, keepdim=True) + _EPS)
    share = (aligned * scale).amax(0)
    wanted = functional.one_hot(class_ids[owner], classes) * (share * positive)[:, None]
    return Assigned(wanted, goal[owner], positive)


def _within(points: Tensor, goal: Tensor) -> Tensor:
    low, high = points[None] - goal[:, None, :2], goal[:, None, 2:] - points[None]
    return (torch.minimum(low, high) > _EPS).all(-1)


def _ious(a: Tensor, b: Tensor) -> Tensor:
    low = torch.maximum(a[:, None, :2], b[None, :, :2])
    high = torch.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    return shared / (_areas(a)[:, None] + _areas(b)[None] - shared + _EPS)


def _areas(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(-1)
