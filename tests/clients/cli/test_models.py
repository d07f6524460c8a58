"""The list of models, and requests that name a model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sod_client import BadReplyError, ConnectionFailedError, Model, ServerError, create_pipeline
from sod_client.cli import main

MODELS = [
    {"name": "PP-YOLOE_plus_SOD-S", "labels": ["pedestrian", "car"], "inputSize": [640, 640], "default": True},
    {"name": "mine", "labels": ["行人"], "inputSize": None, "default": False},
]
Run = Callable[..., tuple[int, str, str]]


def success(result: Any) -> dict[str, Any]:
    return {"logId": "7", "errorCode": 0, "errorMsg": "Success", "result": result}


@pytest.fixture
def sod(server: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("SOD_URL", server.url)
    server.respond_with(200, success({"models": MODELS}))

    def run(*arguments: object) -> tuple[int, str, str]:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_models(server: Any) -> None:
    server.respond_with(200, success({"models": MODELS}))
    with create_pipeline(url=server.url) as pipeline:
        assert pipeline.models() == [
            Model("PP-YOLOE_plus_SOD-S", ("pedestrian", "car"), (640, 640), default=True),
            Model("mine", ("行人",), None, default=False),
        ]
    assert server.requests == [("/models", None)]


@pytest.mark.parametrize(
    ("status", "content", "error"),
    [
        (503, {"logId": "7", "errorCode": 503, "errorMsg": "not ready; try again"}, ServerError),
        (404, b"<html>", ServerError),
        (200, b"<html>", BadReplyError),
        (200, success({}), BadReplyError),
        (200, success({"models": [{"name": "mine"}]}), BadReplyError),
        (200, success({"models": [{**MODELS[0], "inputSize": [1, 2, 3]}]}), BadReplyError),
        (0, b"", ConnectionFailedError),
    ],
)
def test_a_server_that_cannot_list_its_models(server: Any, status: int, content: Any, error: type[Exception]) -> None:
    server.respond_with(status, content)
    with create_pipeline(url=server.url) as pipeline, pytest.raises(error):
        pipeline.models()


@pytest.mark.parametrize(
    ("of_pipeline", "of_call", "sent"),
    [(None, None, "not sent"), ("mine", None, "mine"), (None, "mine", "mine"), ("mine", "other", "other")],
)
def test_an_image_goes_to_the_model_that_is_named(
    server: Any, of_pipeline: str | None, of_call: str | None, sent: str
) -> None:
    server.respond_with(200, success({"detectedObjects": []}))
    with create_pipeline(url=server.url, model=of_pipeline) as pipeline:
        next(pipeline.predict(b"an image", model=of_call))
    # PaddleX's own server does not know the field, so it is left out where no model is named.
    assert server.requests[0][1].get("model", "not sent") == sent


def test_the_table(sod: Run) -> None:
    code, out, err = sod("models")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "  NAME                    SIZE  CLASSES  LABELS",
        "* PP-YOLOE_plus_SOD-S  640x640        2  pedestrian, car",
        "  mine                       ?        1  行人",
    ]


def test_json_is_one_line_a_model(sod: Run) -> None:
    code, out, _ = sod("models", "--json")
    assert code == 0
    assert [json.loads(line) for line in out.splitlines()] == [
        {"name": "PP-YOLOE_plus_SOD-S", "labels": ["pedestrian", "car"], "input_size": [640, 640], "default": True},
        {"name": "mine", "labels": ["行人"], "input_size": None, "default": False},
    ]
    assert "行人" in out


def test_exit_codes(sod: Run, server: Any, nowhere: str) -> None:
    assert sod("models", "--url", "nonsense")[0] == 2
    code, _, err = sod("models", "--url", nowhere)
    assert (code, err.count("\n")) == (3, 1)
    server.respond_with(503, {"logId": "7", "errorCode": 503, "errorMsg": "not ready; try again"})
    assert sod("models") == (3, "", "sod: the server answered 503: not ready; try again (logId 7)\n")
    server.respond_with(500, {"logId": "7", "errorCode": 500, "errorMsg": "broken"})
    assert sod("models") == (1, "", "sod: the server answered 500: broken (logId 7)\n")


def test_predict_names_a_model(sod: Run, server: Any, tmp_path: Path) -> None:
    server.respond_with(200, success({"detectedObjects": []}))
    image = tmp_path / "street.png"
    image.write_bytes(b"an image")
    assert sod("predict", image, "--model", "mine")[0] == 0
    assert server.requests[0][1]["model"] == "mine"
