"""Blends the weights of a training with those it started from.

    python -m finetune.pytorch.blend output/finetune/pytorch/start.pt output/finetune/pytorch/latest.pt blended.pt \
        --share 0.85 --data my_data

What a training on other images forgets comes back with a little of the old weights, while almost all that it learned
stays. Source: Wortsman et al., Robust Fine-Tuning of Zero-Shot Models, CVPR 2022. The batch norms are calibrated on
whole images afterwards.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from finetune.pytorch.batch_norms import CALIBRATION_IMAGES, calibrate
from finetune.pytorch.data_loading import TrainingImages
from finetune.pytorch.model import Detector


def blended(start: Mapping[str, Tensor], trained: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """`share` of the trained weights and the rest of the first ones.

    Args:
        start: state of the network before the training.
        trained: state after it.
        share: 0..1.

    Returns:
        The state; what is not floating-point is that of `trained`.
    """
    return {
        name: torch.lerp(start[name], value, share) if value.is_floating_point() else value
        for name, value in trained.items()
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("start", type=Path, help="start.pt of a training")
    add("trained", type=Path, help="best.pt or latest.pt of the same training")
    add("out", type=Path, help="file to write, for finetune.pytorch.export_weights")
    add("--share", type=float, required=True, help="of the trained weights, 0 to 1")
    add("--data", type=Path, required=True, help="folder that holds the folders of the three photographic sources")
    add("--scenes", type=Path, default=Path(".cache/scenes/scenes"),
        help="folder of drawn scenes (default: %(default)s)")  # fmt: skip
    add("--seed", type=int, default=7, help="of the choice of images (default: %(default)s)")
    options = parser.parse_args(arguments)
    if not 0 <= options.share <= 1:
        parser.error(f"--share must be 0 to 1, not {options.share:g}")
    start, trained = (torch.load(path, weights_only=True) for path in (options.start, options.trained))
    model = Detector()
    model.load_state_dict(blended(start, trained, options.share))
    images = TrainingImages(options.data, options.scenes, (options.seed, 0))
    calibrate(model, images.whole_images(CALIBRATION_IMAGES))
    torch.save(model.state_dict(), options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
