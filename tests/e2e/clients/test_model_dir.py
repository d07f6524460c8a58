"""A pipeline file with the folder of a fine-tuned model, as PaddleX's tutorial has it: that model answers."""

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from sod_client import create_pipeline

from export.paddle.inference_model import find_model
from export.paddle.predictor import ReferenceDetector
from tests.e2e.started_server import Serving, process_environment
from tests.export.tiny_model import make_tiny_paddle_model

SOD = Path(sys.executable).parent / "sod"
TIMEOUT_S = 500
LABELS = ["行人", "boat", "kite", "tent", "dog", "sheep", "cow", "swing", "goal", "bench"]
THRESHOLD = 0.6
MODELS_OWN = 0.4
# §4.2 of the tutorial, with the folder that a training has written.
TUTORIAL = f"""\
pipeline_name: small_object_detection

SubModules:
  SmallObjectDetection:
    module_name: small_object_detection
    model_name: PP-YOLOE_plus_SOD-L
    model_dir: ./output/best_model/inference
    batch_size: 1
    threshold: {THRESHOLD}
"""
Check = Callable[[list[Any], float], None]
Sod = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, image: bytes) -> Path:
    """The working folder: an image, the tuned model, and the pipeline file."""
    folder = tmp_path_factory.mktemp("tuned")
    (folder / "small_object_detection.jpg").write_bytes(image)
    (folder / "my_path").mkdir()
    (folder / "my_path/small_object_detection.yaml").write_text(TUTORIAL)
    model = folder / "output/best_model/inference"
    make_tiny_paddle_model(model, labels=LABELS, name="PP-YOLOE_plus_SOD-L")
    config = yaml.safe_load((model / "inference.yml").read_text())
    (model / "inference.yml").write_text(yaml.safe_dump({**config, "draw_threshold": MODELS_OWN}, allow_unicode=True))
    return folder


@pytest.fixture
def sod(folder: Path) -> Sod:
    """Run a line in the working folder, without the address of a server."""

    def run(line: str, **settings: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [SOD, *line.split()],
            cwd=folder,
            env=process_environment(**{"SOD_URL": "", "SOD_CACHE": str(folder / "cache"), **settings}),
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def check(folder: Path) -> Check:
    """Check boxes against those that Paddle itself finds above a threshold."""
    pixels = cv2.imread(str(folder / "small_object_detection.jpg"))
    assert pixels is not None
    found = ReferenceDetector(find_model(folder / "output/best_model/inference"))(pixels.astype(np.uint8))

    def check(boxes: list[Any], threshold: float) -> None:
        # ONNX Runtime's scores differ from Paddle's in the last digits.
        fewest, most = (int((found.scores > threshold + difference).sum()) for difference in (0.003, -0.003))
        assert 0 < fewest <= len(boxes) <= most
        assert {box["label"] for box in boxes} <= set(LABELS)
        assert min(box["score"] for box in boxes) > threshold

    return check


def test_the_tuned_model_answers(sod: Sod, folder: Path, check: Check) -> None:
    line = "--pipeline ./my_path/small_object_detection.yaml --input small_object_detection.jpg --device cpu"
    done = sod(f"{line} --save_path ./output")
    assert done.returncode == 0, done.stderr
    boxes = ast.literal_eval(done.stdout)["res"]["boxes"]
    check(boxes, THRESHOLD)
    assert "exporting ./output/best_model/inference as PP-YOLOE_plus_SOD-L-" in done.stderr
    assert (folder / "output/small_object_detection_res.jpg").is_file()

    again = sod(f"{line} --threshold 0.5")  # of the command line rather than of the file
    assert again.returncode == 0, again.stderr
    assert "exporting" not in again.stderr, "the same content is exported once"
    check(ast.literal_eval(again.stdout)["res"]["boxes"], 0.5)


def test_without_a_threshold_in_the_file_the_model_has_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch, check: Check
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("SOD_URL", raising=False)
    monkeypatch.setenv("SOD_CACHE", str(folder / "cache"))
    config = yaml.safe_load(TUTORIAL)
    del config["SubModules"]["SmallObjectDetection"]["threshold"]
    with create_pipeline(config=config, device="cpu") as pipeline:
        (result,) = pipeline.predict("small_object_detection.jpg")
    check(result.boxes, MODELS_OWN)


def test_a_server_that_has_another_model_is_refused(sod: Sod, server: Serving) -> None:
    line = "--pipeline ./my_path/small_object_detection.yaml --input small_object_detection.jpg"
    done = sod(line, SOD_URL=server.url)
    assert done.returncode != 0
    assert done.stdout == ""
    assert "does not serve model_dir './output/best_model/inference'" in done.stderr
    assert "sod export --model_dir" in done.stderr
