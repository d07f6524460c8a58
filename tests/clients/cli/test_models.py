"""The list of models, and requests that name a model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sod_client import BadReplyError, ConnectionFailedError, Model, ServerError, create_pipeline
from sod_client._local_server.installed_models import find_repository
from sod_client.cli import main

MODELS = [
    {
        **{"name": "PP-YOLOE_plus_SOD-S", "labels": ["pedestrian", "car"], "inputSize": [640, 640]},
        **{"default": True, "sha256": "ab"},
    },
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
            Model("PP-YOLOE_plus_SOD-S", ("pedestrian", "car"), (640, 640), default=True, sha256="ab"),
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
        {**{key: MODELS[0][key] for key in ("name", "labels", "default", "sha256")}, "input_size": [640, 640]},
        {"name": "mine", "labels": ["行人"], "input_size": None, "default": False, "sha256": None},
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


# Without a server


@pytest.fixture
def _no_server(nowhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sod_client._cli.server_address.DEFAULT_URL", nowhere)
    monkeypatch.setattr(
        "sod_client._local_server.local_server.LocalServer.__init__", lambda *_: pytest.fail("a server was started")
    )


@pytest.mark.usefixtures("_no_server")
def test_without_a_server_the_repository_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundled = Path(__file__).parents[3] / "model_repository"
    for name in ("PP-YOLOE_plus_SOD-S", "PP-YOLOE_plus_SOD-demo", "PP-YOLOE_plus_SOD-L"):
        for folder in (name, f"{name}_detector"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "config.pbtxt").write_text((bundled / folder / "config.pbtxt").read_text())
        if name != "PP-YOLOE_plus_SOD-L":  # its weights are not there
            (tmp_path / f"{name}_detector" / "1").mkdir()
            (tmp_path / f"{name}_detector" / "1" / "model.onnx").touch()
    for stage in ("preprocess_640", "postprocess"):
        (tmp_path / stage / "1").mkdir(parents=True)
        (tmp_path / stage / "1" / "model.py").touch()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.pbtxt").write_text("{")
    monkeypatch.setattr("sod_client._cli.server_address.find_repository", lambda: tmp_path)
    assert main(["models", "--json"]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(model["name"], model["default"]) for model in listed] == [
        ("PP-YOLOE_plus_SOD-S", True),
        ("PP-YOLOE_plus_SOD-demo", False),
    ]
    assert listed[0]["input_size"] == [640, 640]
    assert listed[0]["labels"][3] == "car"


@pytest.mark.usefixtures("_no_server")
def test_without_a_server_and_without_its_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sod_client._local_server.installed_models.entry_points", lambda **_: ())
    assert main(["models"]) == 3
    assert capsys.readouterr().err == (
        "sod: no server address is given (--url, or SOD_URL), no server runs here, and triton-sod is not installed\n"
    )


def test_the_repository_is_the_one_that_the_server_reads() -> None:
    from server.cli import REPOSITORY

    assert find_repository() == REPOSITORY
