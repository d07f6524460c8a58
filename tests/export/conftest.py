import logging
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from export.cli import main
from export.paddle.inference_config import InferenceConfig
from export.verification.images import synthetic_image
from tests.export.tiny_model import make_tiny_paddle_model

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "model_repository" / "PP-YOLOE_plus_SOD-demo_detector" / "1" / "model.onnx"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with the official input size: 640 x 640, 8400 anchors."""
    return make_tiny_paddle_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with an input of 96 x 96 and three classes, for tests that do not depend on detections."""
    return make_tiny_paddle_model(tmp_path_factory.mktemp("small"), size=96, classes=3)


@pytest.fixture
def image_file(tmp_path: Path) -> Path:
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), synthetic_image(300, 400, seed=7))
    return path


@pytest.fixture(scope="session")
def exported_full(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The version folder of the full-size S, FP32 and FP16, exported by the command line with the real image."""
    made = tmp_path_factory.mktemp("full")
    arguments = ["--model_dir", str(shared / "data" / "models" / "PP-YOLOE_plus_SOD-S"), "--no-paddle"]
    images = ["--images", str(shared / "data" / "real")]
    assert main([*arguments, *images, "--output_dir", str(made / "r"), "--cache_dir", str(made / "c")]) == 0
    return made / "r" / "PP-YOLOE_plus_SOD-S_detector" / "1"


@pytest.fixture
def config() -> InferenceConfig:
    return InferenceConfig("m", ("a", "b"), 32, 64, "cubic")


@pytest.fixture(autouse=True)
def _logging_left_alone() -> Iterator[None]:
    """The export must not leave handlers on the root logger: every line would be logged twice."""
    before = logging.root.handlers[:]
    yield
    assert logging.root.handlers == before
