"""The statistics of batch norms: measured on images as the server sees them, not on training crops."""

from collections.abc import Sequence

import torch
from torch import nn

from finetune.pytorch.evaluation import to_tensor
from finetune.training.augmentation import Crop

CALIBRATION_IMAGES = 96
_BATCH = 8


def batch_norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    """All batch norms of a network."""
    return [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]


@torch.no_grad()
def calibrate(model: nn.Module, crops: Sequence[Crop]) -> None:
    """Measure the statistics anew on `crops`; the network is left in evaluation mode."""
    for norm in batch_norms(model):
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all batches
    model.train()
    for i in range(0, len(crops), _BATCH):
        model(to_tensor(crops[i : i + _BATCH]))
    model.eval()
