"""Four drawn images of a few large objects, and ppdet's environment."""

import os
import sys
from pathlib import Path

import pytest

from finetune import environment
from finetune.data.sources import CLASSES
from finetune.scenes.__main__ import main as draw

FEW_AND_LARGE = (141, 222, 253, 281)  # seeds of scenes


@pytest.fixture(scope="session")
def four(tmp_path_factory) -> Path:
    """A YOLO data set whose two parts are the same four images; the base model knows none of its classes' names."""
    folder = tmp_path_factory.mktemp("four")
    for seed in FEW_AND_LARGE:
        draw([str(folder), "--count", "1", "--first", str(seed)])
    names = ", ".join(f"own {name}" for name in CLASSES)
    (folder / "data.yaml").write_text(f"names: [{names}]\ntrain: images\nval: images\n")
    return folder


@pytest.fixture(scope="session")
def ppdet_python() -> Path:
    """Python of ppdet's environment; made where CI runs, else it must be there."""
    folder = Path(os.environ.get("SOD_FINETUNE_ENVIRONMENT") or Path(sys.prefix) / "finetune")
    if not os.environ.get("CI") and not (folder / "bin/python").exists():
        pytest.skip("ppdet's environment is not here: python -m finetune.environment")
    return environment.ensure(folder)
