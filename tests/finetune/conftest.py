"""A data set of four drawn images with a few large objects, and ppdet's environment."""

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
    """A YOLO data set with the same four images in both splits and class names that no pretrained model has."""
    folder = tmp_path_factory.mktemp("four")
    for seed in FEW_AND_LARGE:
        draw([str(folder), "--count", "1", "--first", str(seed)])
    names = ", ".join(f"own {name}" for name in CLASSES)
    (folder / "data.yaml").write_text(f"names: [{names}]\ntrain: images\nval: images\n")
    return folder


@pytest.fixture(scope="session")
def ppdet_python() -> Path:
    """The Python of ppdet's environment, which is created in CI and must exist elsewhere."""
    folder = Path(os.environ.get("SOD_FINETUNE_ENVIRONMENT") or Path(sys.prefix) / "finetune")
    if not os.environ.get("CI") and not (folder / "bin/python").exists():
        pytest.skip("ppdet's environment is not installed: run python -m finetune.environment")
    return environment.ensure(folder)
