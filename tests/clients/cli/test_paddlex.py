"""PaddleX's command lines, with `sod` in place of `paddlex`."""

import ast
import os
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from sod_client import create_pipeline
from sod_client._local_server.device import Machine
from sod_client.cli import main

from export.paddle.paddlex_pipeline import read_pipeline_file
from tests.clients.conftest import BOXES, OVERLAY, FakeServer, jpeg

PREDICT = "--pipeline small_object_detection --input small_object_detection.jpg --threshold 0.5 --save_path ./output"
CONFIG = "--get_pipeline_config small_object_detection --save_path ./my_path"


@pytest.fixture(autouse=True)
def _folder(server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small_object_detection.jpg").write_bytes(jpeg())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOD_URL", server.url)


def sod(line: str) -> int:
    return main(line.split())


def test_the_line_that_detects(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert sod(f"{PREDICT} --device gpu:0") == 0
    captured = capsys.readouterr()
    found = {"input_path": "small_object_detection.jpg", "page_index": None, "boxes": BOXES}
    assert captured.out == f"{ {'res': found}!r}\n"
    assert (
        captured.err
        == f"sod: note: device and use_hpip have no effect: the server at {server.url} uses its own device\n"
    )
    assert sorted(path.name for path in Path("output").iterdir()) == [
        "small_object_detection_res.jpg",
        "small_object_detection_res.json",
    ]
    assert Path("output/small_object_detection_res.jpg").read_bytes() == OVERLAY
    ((path, body),) = server.requests
    assert (path, body["threshold"], body["visualize"]) == ("/small-object-detection", 0.5, True)


def test_its_order_is_free_and_the_pipeline_may_be_left_out(server: FakeServer) -> None:
    words = PREDICT.split()
    for line in (words[2:] + words[:2], words[2:], [*words, "--use_hpip"]):
        assert main(line) == 0
    assert main(["--pipeline=small_object_detection", "--input=small_object_detection.jpg"]) == 0
    assert len(server.requests) == 4


NO_GPU = Machine(has_nvidia_gpu=False, is_triton_image=False, has_paddle=True, has_onnxruntime_gpu=True)
IMAGE_WITH_GPU = Machine(has_nvidia_gpu=True, is_triton_image=True, has_paddle=False, has_onnxruntime_gpu=False)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gcu:0", "device 'gcu:0' is not supported: "),
        ("npu:0 --use_hpip", "device 'npu' has the regular mode only"),
        ("gpu:0 --use_hpip", "device 'gpu:0' is not available: "),
        ("tpu", "there is no device 'tpu'; "),
    ],
)
def test_a_device_that_is_not_supported_is_one_sentence(
    device: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOD_URL")
    monkeypatch.setattr(Machine, "detect", lambda: NO_GPU)
    assert sod(f"{PREDICT} --device {device}") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith(f"sod: {message}")


def test_the_device_goes_to_the_local_server(monkeypatch: pytest.MonkeyPatch, server: FakeServer) -> None:
    monkeypatch.delenv("SOD_URL")
    asked: list[Any] = []

    def pipeline(name: str, **options: Any) -> Any:
        asked.append((name, options["device"], options["use_hpip"], options["url"]))
        return create_pipeline(url=server.url)

    monkeypatch.setattr("sod_client._cli.server_address.create_pipeline", pipeline)
    assert sod(f"{PREDICT} --device gpu:0") == 0
    assert sod(f"{PREDICT} --device cpu --use_hpip") == 0
    assert sod(f"{PREDICT} --device cpu --no_hpip") == 0
    name = "small_object_detection"
    assert asked == [(name, "gpu:0", None, None), (name, "cpu", True, None), (name, "cpu", False, None)]


def test_options_may_be_abbreviated_as_in_paddlex(server: FakeServer) -> None:
    name = "small_object_detection"
    assert sod(f"--pipe {name} --inp {name}.jpg --thr 0.25 --save out --dev cpu") == 0
    assert sorted(path.name for path in Path("out").iterdir()) == [f"{name}_res.jpg", f"{name}_res.json"]
    assert server.requests[0][1]["threshold"] == 0.25
    assert sod(f"--input {name}.jpg --save_path some --save json --threshold None") == 0
    assert [path.name for path in Path("some").iterdir()] == [f"{name}_res.json"]
    assert server.requests[1][1]["threshold"] is None


def test_the_line_that_writes_a_pipeline_file(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert sod(CONFIG) == 0
    assert capsys.readouterr().out == "my_path/small_object_detection.yaml\n"
    assert sod("--pipeline ./my_path/small_object_detection.yaml --input small_object_detection.jpg") == 0
    assert ast.literal_eval(capsys.readouterr().out)["res"]["boxes"] == BOXES
    (asked, _), (_, body) = server.requests
    assert asked == "/models", "whether it has PaddleX's model"
    assert "model" not in body, "the server's default"
    assert body["threshold"] == 0.5


def test_the_file_is_paddlexs_and_the_export_reads_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert sod("config --model mine --save_path mine.yml") == 0
    assert capsys.readouterr().out == "mine.yml\n"
    document = yaml.safe_load(Path("mine.yml").read_text())
    assert document == {
        "pipeline_name": "small_object_detection",
        "SubModules": {
            "SmallObjectDetection": {
                "module_name": "small_object_detection", "model_name": "mine", "model_dir": None, "batch_size": 1,
                "threshold": 0.5,
            }
        },
    }  # fmt: skip
    assert read_pipeline_file(Path("mine.yml")).model_name == "mine"
    assert sod("config") == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["SubModules"]["SmallObjectDetection"]["model_name"] is None


def test_the_file_names_paddlexs_model_where_that_is_served(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def written() -> Any:
        assert sod("--get_pipeline_config small_object_detection") == 0
        said = capsys.readouterr()
        assert said.err == ""
        return yaml.safe_load(said.out)["SubModules"]["SmallObjectDetection"]["model_name"]

    listed = {"labels": ["car"], "inputSize": [640, 640], "default": True}
    for names, expected in ((["PP-YOLOE_plus_SOD-S"], None), (["mine", "PP-YOLOE_plus_SOD-L"], "PP-YOLOE_plus_SOD-L")):
        models = [{"name": name, **listed} for name in names]
        server.respond_with(200, {"logId": "7", "errorCode": 0, "errorMsg": "Success", "result": {"models": models}})
        monkeypatch.setenv("SOD_URL", server.url)
        assert written() == expected
    server.respond_with(503, {"logId": "7", "errorCode": 503, "errorMsg": "starting"})
    assert written() is None


def test_an_edited_file_is_not_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    file = Path("my_path/small_object_detection.yaml")
    assert sod(CONFIG) == sod(CONFIG) == 0
    file.write_text(file.read_text().replace("0.5", "0.3"))
    capsys.readouterr()
    assert sod(CONFIG) == 1
    assert capsys.readouterr().err == (
        f"sod: {file} exists and was not changed; `sod config --overwrite` replaces it\n"
    )
    assert "threshold: 0.3" in file.read_text()
    assert sod("config --save_path ./my_path --overwrite") == 0
    assert "threshold: 0.5" in file.read_text()


def test_a_pipeline_file_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert sod("config --save_path small_object_detection.jpg/below") == 1
    assert capsys.readouterr().err.endswith("cannot be written: Not a directory\n")
    assert sod("--get_pipeline_config OCR") == 2
    assert capsys.readouterr().err == "sod: there is no pipeline 'OCR'; the only one is small_object_detection\n"


# --serve


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The arguments of each call of `sod serve`, which a stand-in for the server's package provides."""
    calls: list[Any] = []

    def serve(arguments: list[str], prog: str) -> int:
        calls.append([prog, *arguments])
        return 0

    monkeypatch.setitem(sys.modules, "stand_in_for_server", SimpleNamespace(main=serve))
    entry = EntryPoint("serve", "stand_in_for_server:main", "sod.commands")
    monkeypatch.setattr("sod_client._cli.plugins.entry_points", lambda **_: EntryPoints([entry]))
    for name in ("SOD_DEFAULT_THRESHOLD", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "")  # so that monkeypatch removes what the test sets
        monkeypatch.delenv(name)
    return calls


@pytest.mark.parametrize(
    ("line", "passed"),
    [
        ("--serve --pipeline small_object_detection", ""),
        ("--serve", ""),
        ("--pipeline small_object_detection --serve", ""),
        ("--serve --host 0.0.0.0 --port 9000", "--host 0.0.0.0 --port 9000"),
        ("--serve --device cpu", "--profile cpu_high_performance"),
        ("--serve --model mine --verbose --start-timeout 5", "--model mine --verbose --start-timeout 5"),
    ],
)
def test_the_line_that_serves(served: list[Any], line: str, passed: str) -> None:
    assert sod(line) == 0
    assert served == [["sod serve", *passed.split()]]


def test_it_serves_a_pipeline_file(served: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert sod("config --model mine --save_path mine.yaml") == 0
    assert sod("--serve --pipeline mine.yaml") == 0
    assert served == [["sod serve", "--model", "mine"]]
    assert os.environ["SOD_DEFAULT_THRESHOLD"] == "0.5"
    Path("mine.yaml").write_text(Path("mine.yaml").read_text().replace("threshold: 0.5", "threshold: {0: 0.5}"))
    assert sod("--serve --pipeline mine.yaml") == 0
    assert "does not apply the thresholds by class of the file" in capsys.readouterr().err


def test_it_serves_without_drawings_if_the_file_says_so(
    served: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOD_VISUALIZE", "")
    monkeypatch.delenv("SOD_VISUALIZE")
    assert sod("config --save_path mine.yaml") == 0
    text = Path("mine.yaml").read_text()
    Path("mine.yaml").write_text(f"{text}\nServing:\n  visualize: false\n")
    assert sod("--serve --pipeline mine.yaml") == 0
    assert os.environ["SOD_VISUALIZE"] == "false"
    Path("mine.yaml").write_text(f"{text}\nServing:\n  visualize: perhaps\n")
    assert sod("--serve --pipeline mine.yaml") == 2
    assert "Serving.visualize must be true or false, not 'perhaps'" in capsys.readouterr().err
    assert len(served) == 1


def test_it_serves_on_a_gpu(served: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Machine, "detect", lambda: IMAGE_WITH_GPU)
    assert sod("--serve --device gpu:1") == 0
    assert served == [["sod serve", "--profile", "gpu_high_performance"]]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"


def test_it_serves_on_another_device(served: list[Any]) -> None:
    assert sod("--serve --device npu:0,1") == 0
    assert served == [["sod serve", "--device", "npu:0,1"]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--serve --device gcu:0", "install PaddleX with paddle-custom-gcu"),
        ("--serve --pipeline OCR", "not 'OCR'"),
        ("--serve --pipeline none.yaml", "none.yaml: no such pipeline file"),
    ],
)
def test_an_invalid_line_that_serves(
    served: list[Any], line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sod(line) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not served


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--pipeline small_object_detection", "--input is missing: pass images, PDFs, folders or URLs"),
        ("--input", "argument --input: expected at least one argument"),
        ("--input a.jpg --topk 5", "unrecognized arguments: --topk 5"),
        ("--input a.jpg --save_path x --save jsn", "argument --save: 'jsn' is not one of json, img, csv, yolo"),
        ("--input a.jpg --threshold 2", "the threshold must be a number from 0 to 1, not 2.0"),
        ("--paddle2onnx --paddle_model_dir x", "--paddle2onnx is not an option of sod: `sod export --model_dir DIR`"),
        ("--install serving", "--install is not an option of sod: there are no plugins"),
    ],
)
def test_an_invalid_command_line(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        sod(line)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
