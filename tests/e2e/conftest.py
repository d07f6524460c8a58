"""One server for all end-to-end tests: Triton from the wheel, the gateway, and exported models; nothing is mocked."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient

from export.paddle.inference_model import find_model
from export.paddle_export import export_detector
from export.verification.images import synthetic_image
from finetune.scenes.render import render
from finetune.weights.onnx_weights import read
from finetune.weights.paddle_program import rewrite
from tests.conftest import SHARED
from tests.e2e.started_server import REPOSITORY, Serving, serve
from tests.export.tiny_model import make_tiny_paddle_model

DEMO = "PP-YOLOE_plus_SOD-demo"
FULL = "PP-YOLOE_plus_SOD-S"


@pytest.fixture(scope="session")
def paddle_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The Paddle inference models of the served ensembles; without ../shared a tiny model replaces S.

    The demo's model is an older training of the same architecture, into which the bundled weights are written.
    """
    if SHARED.is_dir():
        demo = tmp_path_factory.mktemp("demo")
        rewrite(SHARED / "data/models/demo", read(REPOSITORY / f"{DEMO}_detector/1/model.onnx"), demo)
        return {DEMO: demo, FULL: SHARED / "data/models" / FULL}
    return {FULL: make_tiny_paddle_model(tmp_path_factory.mktemp("tiny"), name=FULL)}


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory, paddle_models: dict[str, Path]) -> Path:
    """A copy of the bundled model repository, to which the export adds S."""
    # Leave out what a developer has exported into the checkout.
    ignored = shutil.ignore_patterns("inference.*", "*.plan")
    folder = shutil.copytree(REPOSITORY, tmp_path_factory.mktemp("serve") / "models", ignore=ignored)
    for name in ("S", "L", "largesize-L"):
        (folder / f"PP-YOLOE_plus_SOD-{name}_detector/1/model.onnx").unlink(missing_ok=True)
    export_detector(find_model(paddle_models[FULL], FULL), folder, [synthetic_image()])
    return folder


@pytest.fixture(scope="session")
def server(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, free_ports: Callable[[int], list[int]]
) -> Iterator[Serving]:
    """The server in the default profile, which all tests share: a test must neither stop nor damage it."""
    log = tmp_path_factory.mktemp("log") / "serve.log"
    with serve(repository, log, free_ports(4)) as serving:
        yield serving


@pytest.fixture(scope="session")
def triton(server: Serving) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(server.grpc) as client:
        yield client


@pytest.fixture(scope="session")
def images() -> dict[str, bytes]:
    """Encoded images of different sizes: photographs if ../shared exists, else synthetic scenes."""
    if SHARED.is_dir():
        data = SHARED / "data"
        folders = ["train_open/hit_uav_thermal", "train_open/jekhor_aerial_cars", "train_open/atl_v2_street"]
        files = sorted((data / "real").glob("*.jpg"))[:1]
        files += [sorted((data / folder).rglob("*.jpg"))[7] for folder in folders]
        return {file.name: file.read_bytes() for file in files}
    sizes = {"wide.jpg": (1360, 765), "thermal.png": (640, 512), "tall.webp": (500, 900), "tiny.bmp": (61, 47)}
    scenes = {name: cv2.resize(render(seed).pixels[..., ::-1], size) for seed, (name, size) in enumerate(sizes.items())}
    return {name: cv2.imencode(Path(name).suffix, scene)[1].tobytes() for name, scene in scenes.items()}


@pytest.fixture(scope="session")
def image(images: dict[str, bytes]) -> bytes:
    """The drone photograph, or the first synthetic scene."""
    return next(iter(images.values()))


@pytest.fixture(scope="session")
def noise() -> bytes:
    return cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8))[1].tobytes()
