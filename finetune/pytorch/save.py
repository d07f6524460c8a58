"""Write trained weights for `finetune.weights.paddle_program`.

python -m finetune.pytorch.save .cache/training/best.pt weights.npz
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from finetune.pytorch.model import Detector
from finetune.pytorch.weights import to_program


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="best.pt or settled.pt")
    parser.add_argument("out", type=Path, help="npz to write")
    options = parser.parse_args(arguments)
    state = torch.load(options.checkpoint, weights_only=True)
    model = Detector()
    model.load_state_dict(state)
    with options.out.open("wb") as file:
        np.savez(file, **to_program(model))
    return 0


if __name__ == "__main__":
    sys.exit(main())
