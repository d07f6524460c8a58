"""Export a model into a running server, use it, and replace it, without a restart."""

import base64
import hashlib
import json
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from sod_client import create_pipeline
from sod_client.cli import main as sod
from tritonclient.grpc import InferenceServerClient

from export.cli import main as export
from export.errors import ExportError
from export.paddle.inference_model import find_model
from export.paddle.predictor import ReferenceDetector
from export.triton.model_control import load_exported
from export.triton.models_command import main as on_models
from export.verification.images import synthetic_image
from sod.detections import Detections
from sod.drawing import fonts
from sod.drawing.overlay import draw_detections
from sod.image import decode_image
from tests.e2e.conftest import DEMO
from tests.e2e.started_server import REPOSITORY, Serving, serve
from tests.export.tiny_model import make_tiny_paddle_model

CHINESE = ["行人", "三轮车", "遮阳棚'三轮车'"]
MINE = "my_model"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with the demo only."""
    folder = tmp_path_factory.mktemp("swap") / "models"
    for name in (DEMO, f"{DEMO}_detector", "preprocess_640", "postprocess"):
        shutil.copytree(REPOSITORY / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def swapped(
    models: Path, tmp_path_factory: pytest.TempPathFactory, free_ports: Callable[[int], list[int]]
) -> Iterator[Serving]:
    options = ["--unready-restart", "10"]  # so a readiness check comes every 5 s
    with serve(models, tmp_path_factory.mktemp("log") / "serve.log", free_ports(4), *options) as serving:
        yield serving


@pytest.fixture(scope="module")
def encoded() -> bytes:
    return cv2.imencode(".png", synthetic_image(480, 800, seed=3))[1].tobytes()


def paddle_model(folder: Path, **changes: Any) -> Path:
    """Create a tiny Paddle model with 320 x 320 input, Chinese labels and its own NMS settings."""
    given = {"size": 320, "labels": CHINESE, "nms": {"nms_threshold": 0.4, "keep_top_k": 50}, **changes}
    return make_tiny_paddle_model(folder, **given)


def export_and_load(serving: Serving, model_dir: Path, models: Path, *options: str) -> int:
    arguments = ["--model_dir", str(model_dir), "--output_dir", str(models), "--name", MINE, "--no-paddle"]
    return export([*arguments, "--load", serving.grpc, *options])


def found(reply: Any) -> list[tuple[str, float]]:
    assert reply.status_code == 200, reply.text
    return [(one["categoryName"], one["score"]) for one in reply.json()["result"]["detectedObjects"]]


def assert_same(one: list[tuple[str, float]], other: list[tuple[str, float]]) -> None:
    assert [name for name, _ in one] == [name for name, _ in other]
    np.testing.assert_allclose([score for _, score in one], [score for _, score in other], atol=1e-4)


def weights_of(models: Path, name: str) -> str:
    return hashlib.sha256((models / f"{name}_detector/1/model.onnx").read_bytes()).hexdigest()


def told(serving: Serving, name: str = MINE) -> str | None:
    """The hash of a model's weights, as the gateway tells it."""
    described = serving.http.get("/models").json()["result"]["models"]
    return next((one["sha256"] for one in described if one["name"] == name), None)


def triton_pid(serving: Serving) -> int:
    return serving.child("bin/tritonserver").pid


def test_a_model_is_taken_in_without_a_restart(
    swapped: Serving,
    models: Path,
    tmp_path: Path,
    encoded: bytes,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pid = triton_pid(swapped)
    assert [one["name"] for one in swapped.http.get("/models").json()["result"]["models"]] == [DEMO]
    assert told(swapped, DEMO) == weights_of(models, DEMO)
    reply = swapped.post(encoded, model=MINE)
    assert reply.status_code == 422
    assert f"loaded are {DEMO}" in reply.json()["errorMsg"]
    before = found(swapped.post(encoded, threshold=0.05))

    model_dir = paddle_model(tmp_path / "paddle")
    assert export_and_load(swapped, model_dir, models) == 0
    assert capsys.readouterr().err.splitlines()[-1] == f"Triton at {swapped.grpc} serves {MINE}"

    swapped.wait_for(lambda: len(swapped.http.get("/models").json()["result"]["models"]) == 2, "the list", 5)
    described = swapped.http.get("/models").json()["result"]["models"]
    assert [(one["name"], one["inputSize"], one["default"]) for one in described] == [
        (DEMO, [640, 640], True),
        (MINE, [320, 320], False),
    ]
    assert described[1]["labels"] == CHINESE
    swapped.wait_for(lambda: told(swapped) == weights_of(models, MINE), "the hash of the weights", 5)

    # The reference is the whole Paddle model with its own NMS, input size and labels.
    expected = ReferenceDetector(find_model(model_dir))(decode_image(encoded))
    over = expected.scores > 0.3
    assert over.any()
    reply = swapped.post(encoded, model=MINE, threshold=0.3)
    names, scores = zip(*found(reply), strict=True)
    assert list(names) == [CHINESE[class_id] for class_id in expected.class_ids[over]]
    np.testing.assert_allclose(scores, expected.scores[over], atol=1e-3)
    boxes = np.array([one["bbox"] for one in reply.json()["result"]["detectedObjects"]])
    np.testing.assert_allclose(boxes, np.clip(expected.boxes[over], 0, [800, 480, 800, 480]), atol=0.2)

    assert_same(found(swapped.post(encoded, threshold=0.05)), before)
    assert triton_pid(swapped) == pid


def test_the_client_and_the_command_see_it(
    swapped: Serving, encoded: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with create_pipeline(url=swapped.url, model=MINE) as pipeline:
        assert [model.name for model in pipeline.models()] == [DEMO, MINE]
        assert {box["label"] for box in next(pipeline.predict(encoded, 0.3)).boxes} <= set(CHINESE)
    assert sod(["models", "--url", swapped.url]) == 0
    assert capsys.readouterr().out.splitlines()[2].split() == [MINE, "320x320", "3", *", ".join(CHINESE).split()]
    file = tmp_path / "street.png"
    file.write_bytes(encoded)
    assert sod(["predict", str(file), "--url", swapped.url, "--model", MINE, "--json", "--threshold", "0.3"]) == 0
    assert json.loads(capsys.readouterr().out)["res"]["boxes"][0]["label"] in CHINESE


@pytest.mark.skipif(fonts.wide_font() is None, reason="the package noto-cjk-sans-otc is not installed")
def test_chinese_labels_are_drawn(swapped: Serving, encoded: bytes) -> None:
    reply = swapped.post(encoded, model=MINE, threshold=0.9).json()["result"]
    image = cv2.imdecode(np.frombuffer(base64.b64decode(reply["image"]), np.uint8), cv2.IMREAD_COLOR)
    objects = reply["detectedObjects"]
    detections = Detections(
        np.array([one["bbox"] for one in objects], np.float32).reshape(-1, 4),
        np.array([one["score"] for one in objects], np.float32),
        np.array([one["categoryId"] for one in objects], np.int32),
    )
    plain = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    with_names, with_ids = (draw_detections(plain, detections, labels) for labels in (CHINESE, []))
    assert np.abs(image.astype(int) - with_names).mean() < np.abs(image.astype(int) - with_ids).mean()


def test_new_weights_come_in_while_requests_are_answered(
    swapped: Serving, models: Path, tmp_path: Path, encoded: bytes
) -> None:
    """While a model is replaced, requests to it and to the other model succeed."""
    pid = triton_pid(swapped)
    old = found(swapped.post(encoded, model=MINE, threshold=0.3))
    model_dir = paddle_model(tmp_path / "paddle", seed=7)
    stop, answers = threading.Event(), Counter[tuple[str, int]]()

    def ask(model: str, visualize: bool) -> None:  # with an overlay the second entrance is used
        while not stop.is_set():
            answers[model, swapped.post(encoded, model=model, threshold=0.3, visualize=visualize).status_code] += 1

    requests = ((MINE, False), (MINE, True), (DEMO, False))
    threads = [threading.Thread(target=ask, args=request) for request in requests]
    for thread in threads:
        thread.start()
    try:
        assert export_and_load(swapped, model_dir, models) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert set(answers) == {(MINE, 200), (DEMO, 200)}
    new = found(swapped.post(encoded, model=MINE, threshold=0.3))
    assert new != old
    swapped.wait_for(lambda: told(swapped) == weights_of(models, MINE), "the hash of the weights", 5)
    assert triton_pid(swapped) == pid


def test_other_classes_come_in_on_demand_only(
    swapped: Serving, models: Path, tmp_path: Path, encoded: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    pid = triton_pid(swapped)
    before = found(swapped.post(encoded, model=MINE, threshold=0.3))
    labels = ["a", "b", "c", "d", "e"]
    model_dir = paddle_model(tmp_path / "paddle", size=96, labels=labels, nms={})
    assert export_and_load(swapped, model_dir, models) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert_same(found(swapped.post(encoded, model=MINE, threshold=0.3)), before)
    assert export_and_load(swapped, model_dir, models, "--overwrite") == 0

    def taken_in() -> bool:
        described = swapped.http.get("/models").json()["result"]["models"][1]
        return (described["labels"], described["inputSize"]) == (labels, [96, 96])

    swapped.wait_for(taken_in, "the new classes", 10)
    swapped.wait_for(lambda: swapped.post(encoded, model=MINE, threshold=0.01).status_code == 200, "a response", 10)
    assert {name for name, _ in found(swapped.post(encoded, model=MINE, threshold=0.01))} <= set(labels)
    assert triton_pid(swapped) == pid


def test_a_model_that_cannot_be_loaded_leaves_the_old_one(swapped: Serving, models: Path, encoded: bytes) -> None:
    weights = models / f"{MINE}_detector" / "1" / "model.onnx"
    good = weights.read_bytes()
    weights.write_bytes(b"not an onnx file")
    try:
        with pytest.raises(ExportError, match=f"did not load {MINE}_detector: .*Unable to read the model") as caught:
            load_exported(swapped.grpc, models, MINE)
        assert "\n" not in str(caught.value)
        assert swapped.post(encoded, model=MINE).status_code == 200
        assert swapped.post(encoded).status_code == 200
        assert told(swapped) != weights_of(models, MINE)
    finally:
        weights.write_bytes(good)


def test_a_model_that_was_taken_in_survives_triton(swapped: Serving, models: Path, encoded: bytes) -> None:
    with InferenceServerClient(swapped.grpc) as client:

        def checks() -> int:
            return int(client.get_inference_statistics(DEMO).model_stats[0].inference_stats.success.count)

        before = checks()
        # After its next check the launcher reads which models are loaded; the one after that shows that it has.
        swapped.wait_for(lambda: checks() > before + 1, "two checks")
    pid = triton_pid(swapped)
    swapped.child("bin/tritonserver").kill()
    swapped.wait_for(lambda: swapped.post(encoded, model=MINE).status_code == 200, "a response")
    assert triton_pid(swapped) != pid
    assert swapped.post(encoded).status_code == 200
    assert {name: told(swapped, name) for name in (DEMO, MINE)} == {
        name: weights_of(models, name) for name in (DEMO, MINE)
    }


def test_an_installed_model_is_unloaded_loaded_and_removed(swapped: Serving, models: Path, encoded: bytes) -> None:
    def act(action: str) -> int:
        return on_models([action, MINE, "--triton", swapped.grpc, "--model-repository", str(models)])

    before = found(swapped.post(encoded, model=MINE))
    assert act("remove") == 1, "it is still served"
    assert act("unload") == 0
    assert swapped.post(encoded, model=MINE).status_code in (404, 422, 503)
    assert swapped.post(encoded, model=DEMO).status_code == 200, "its stages are shared"
    assert act("unload") == 1
    assert act("load") == 0
    # The gateway has just read the list of models, and reads it again after a second at the earliest.
    swapped.wait_for(lambda: swapped.post(encoded, model=MINE).status_code == 200, "the model", 10)
    assert_same(found(swapped.post(encoded, model=MINE)), before)
    assert act("unload") == 0
    assert act("remove") == 0
    assert not list(models.glob(f"{MINE}*"))
    assert swapped.post(encoded, model=DEMO).status_code == 200
