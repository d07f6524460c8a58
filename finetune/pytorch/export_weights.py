"""Writes trained weights to an npz file for `finetune.weights.paddle_program`.

python -m finetune.pytorch.export_weights output/finetune/pytorch/best.pt weights.npz
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from finetune.pytorch.model import Detector
from finetune.pytorch.weights import program_weights


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="best.pt or latest.pt of a training")
    parser.add_argument("out", type=Path, help="npz file to write")
    options = parser.parse_args(arguments)
    state = torch.load(options.checkpoint, weights_only=True)
    model = Detector()
    model.load_state_dict(state)
    with options.out.open("wb") as file:
        np.savez(file, **program_weights(model))
    return 0


if __name__ == "__main__":
    sys.exit(main())
