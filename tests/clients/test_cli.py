import ast
import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sod_client.cli import main

from tests.clients.conftest import OVERLAY

BAD = b"no picture"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _replies(server: Any) -> None:
    """One car in every picture but BAD; drawn as asked."""

    def reply(body: Any) -> tuple[int, bytes]:
        if body["image"] == base64.b64encode(BAD).decode():
            refusal = {"logId": "7", "errorCode": 415, "errorMsg": "not a picture"}
            return 415, json.dumps(refusal).encode()
        found = {"bbox": [1.5, 2, 3, 4], "categoryId": 3, "categoryName": "car", "score": 0.75}
        result: dict[str, Any] = {"detectedObjects": [found]}
        if body["visualize"]:
            result["image"] = base64.b64encode(OVERLAY).decode()
        return 200, json.dumps({"logId": "7", "errorCode": 0, "errorMsg": "Success", "result": result}).encode()

    server.reply = reply


@pytest.fixture
def sod(server: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("SOD_URL", server.url)

    def run(*arguments: object) -> tuple[int, str, str]:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.png"
    path.write_bytes(BAD)
    return path


def expected(path: Path) -> dict[str, Any]:
    box = {"cls_id": 3, "label": "car", "score": 0.75, "coordinate": [1.5, 2.0, 3.0, 4.0]}
    return {"res": {"input_path": str(path), "page_index": None, "boxes": [box]}}


def test_predict_prints_what_paddlex_prints(sod: Run, street: Path, server: Any) -> None:
    code, out, err = sod("predict", street)
    assert (code, err) == (0, "")
    assert ast.literal_eval(out) == expected(street)
    assert server.requests[0][1]["threshold"] is None
    assert server.requests[0][1]["visualize"] is False


def test_json_is_one_line_a_picture(sod: Run, street: Path) -> None:
    code, out, _ = sod("predict", street, street, "--json")
    assert code == 0
    assert [json.loads(line) for line in out.splitlines()] == [expected(street)] * 2


@pytest.mark.parametrize(("text", "sent"), [("0.4", 0.4), ("0:0.5,3:.25", {"0": 0.5, "3": 0.25}), ("1", 1.0)])
def test_a_threshold(sod: Run, street: Path, server: Any, text: str, sent: Any) -> None:
    assert sod("predict", street, "--threshold", text)[0] == 0
    assert server.requests[0][1]["threshold"] == sent


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["predict"],
        ["detect", "x.jpg"],
        ["predict", "x.jpg", "--threshold", "high"],
        ["predict", "x.jpg", "--threshold", "nan"],
        ["predict", "x.jpg", "--threshold", "0:0.5,3"],
        ["predict", "x.jpg", "--threshold", "car:0.5"],
        ["predict", "x.jpg", "--url", "127.0.0.1:8080"],
        ["predict", "x.jpg", "--url", ""],
    ],
)
def test_a_wrong_command_line_is_2_and_sends_nothing(
    sod: Run, server: Any, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOD_URL", "nonsense")
    code, out, err = sod(*arguments)
    assert (code, out) == (2, "")
    assert "sod" in err.splitlines()[-1]
    assert not server.requests


def test_saving(sod: Run, street: Path, tmp_path: Path) -> None:
    code, _, err = sod("predict", street, "--save_path", tmp_path / "out")
    assert (code, err) == (0, "")
    assert json.loads((tmp_path / "out" / "street_res.json").read_text()) == expected(street)["res"]
    assert (tmp_path / "out" / "street_res.jpg").read_bytes() == OVERLAY


def test_no_image_asks_for_none(sod: Run, street: Path, tmp_path: Path, server: Any) -> None:
    assert sod("predict", street, "--save-path", tmp_path / "out", "--no-image")[0] == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["street_res.json"]
    assert server.requests[0][1]["visualize"] is False


def test_a_refused_picture_does_not_stop_the_others(sod: Run, street: Path, bad: Path) -> None:
    code, out, err = sod("predict", bad, "missing.jpg", street)
    assert code == 1
    assert ast.literal_eval(out) == expected(street)
    assert err.splitlines() == [
        f"sod: {bad}: the server answered 415: not a picture (logId 7)",
        "sod: missing.jpg: no such file or folder",
    ]


def test_a_folder_that_cannot_be_made(sod: Run, street: Path) -> None:
    code, out, err = sod("predict", street, "--save_path", street / "below a file")
    assert code == 1
    assert ast.literal_eval(out) == expected(street)
    assert err.startswith(f"sod: {street}: not saved: ")
    assert err.count("\n") == 1


def test_no_server_is_3_and_stops(sod: Run, street: Path, nowhere: str) -> None:
    code, out, err = sod("predict", street, street, "--url", nowhere)
    assert (code, out) == (3, "")
    assert err.startswith(f"sod: cannot reach {nowhere}")
    assert err.count("\n") == 1


def test_help_tells_the_exit_codes(sod: Run) -> None:
    code, out, _ = sod("predict", "--help")
    assert code == 0
    for line in ("0    every picture", "1    some picture", "2    the command line", "3    the server gave no answer"):
        assert line in out


def test_a_reader_that_leaves_gets_no_traceback(server: Any, street: Path) -> None:
    command = [sys.executable, "-m", "sod_client.cli", "predict", str(street), "--url", server.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(30) == 1
