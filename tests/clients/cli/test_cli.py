"""The command `sod`: `predict`, `models`, and what all commands share. test_paddlex.py tests PaddleX's lines."""

import ast
import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sod_client
from sod_client.cli import main

from tests.clients.conftest import OVERLAY, SUCCESS, FakeServer, jpeg, pdf

BAD = b"no image"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _replies(server: FakeServer) -> None:
    """One car in every image except BAD; drawn if requested."""

    def reply(body: Any) -> tuple[int, bytes]:
        if body is None:
            return 404, b"{}"
        if body["image"] == base64.b64encode(BAD).decode():
            refusal = {"logId": "7", "errorCode": 415, "errorMsg": "not an image"}
            return 415, json.dumps(refusal).encode()
        found = {"bbox": [1.5, 2, 3, 4], "categoryId": 3, "categoryName": "car", "score": 0.75}
        result: dict[str, Any] = {"detectedObjects": [found]}
        if body["visualize"]:
            result["image"] = base64.b64encode(OVERLAY).decode()
        return 200, json.dumps({"logId": "7", "errorCode": 0, "errorMsg": "Success", "result": result}).encode()

    server.reply = reply


@pytest.fixture
def sod(server: FakeServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
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


def test_predict_prints_what_paddlex_prints(sod: Run, street: Path, server: FakeServer) -> None:
    code, out, err = sod("predict", street)
    assert (code, err) == (0, "")
    assert ast.literal_eval(out) == expected(street)
    assert server.requests[0][1]["threshold"] is None
    assert server.requests[0][1]["visualize"] is False


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("0.4", 0.4),
        ("1", 1.0),
        ("0:0.5,3:.25", {"0": 0.5, "3": 0.25}),
        ("{0: 0.5, 3: 0.3}", {"0": 0.5, "3": 0.3}),
        ('{"0": 0.5}', {"0": 0.5}),
    ],
)
def test_a_threshold(sod: Run, street: Path, server: FakeServer, text: str, sent: Any) -> None:
    assert sod("predict", street, "--threshold", text)[0] == 0
    assert server.requests[0][1]["threshold"] == sent


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "usage: sod COMMAND"),
        (["predict"], "the following arguments are required: IMAGE"),
        (["detect", "x.jpg"], "invalid choice: 'detect'"),
        (["predict", "x.jpg", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["predict", "x.jpg", "--thresh", "0.5"], "unrecognized arguments: --thresh"),
        (["predict", "x.jpg", "--threshold", "high"], "'high' is neither a number nor like car:0.5,3:0.3"),
        (["predict", "x.jpg", "--threshold", "nan"], "the threshold must be a number from 0 to 1, not nan"),
        (["predict", "x.jpg", "--threshold", "1.5"], "the threshold must be a number from 0 to 1, not 1.5"),
        (["predict", "x.jpg", "--threshold", "0:0.5,3"], "of all other classes must be a number from 0 to 1, not 3.0"),
        (["predict", "x.jpg", "--threshold", "{0: "], "neither a number nor"),
        (
            ["predict", "x.jpg", "--threshold", "{-1: 0.5}"],
            "must be an integer from 0 or a label, not -1",
        ),
        (["predict", "x.jpg", "--threshold", "car:"], "neither a number nor"),
        (["predict", "x.jpg", "--max_in_flight", "0"], "'0' is not a whole number from 1"),
        (["predict", "x.jpg", "--retries", "-1"], "whole number from 0"),
        (["predict", "x.jpg", "--retries", "two"], "'two' is not a whole number from 0"),
        (["predict", "x.jpg", "--timeout", "inf"], "'inf' is not a positive number of seconds"),
        (["predict", "x.jpg", "--timeout", "soon"], "'soon' is not a positive number of seconds"),
        (["predict", "x.jpg", "--timeout", "1e300"], "'1e300' is not a positive number of seconds, at most 1,000,000"),
        (["predict", "x.jpg", "--slice_size", "320", "320"], "options of slices have an effect only with slice_infer"),
        (["predict", "x.jpg", "--slice_infer", "--slice_size", "1", "1"], "slice_size must be an integer from 32"),
        (["predict", "x.jpg", "--bands", "3,2,1"], "bands has an effect only with slice_infer=True"),
        (["watch", "x.mp4", "--show_port", "99999"], "'99999' is not a port from 0 to 65535"),
        (["predict", "x.jpg", "--save", "json,xml"], "'xml' is not one of json, img, csv, yolo"),
        (["predict", "x.jpg", "--format", "xml"], "invalid choice: 'xml'"),
        (["predict", "x.jpg", "--engine_config", "{"], "'{' is not a Python literal"),
        (
            ["predict", "x.jpg", "--pipeline", "OCR"],
            "or the path of a .yaml or .yml file, not 'OCR'",
        ),
        (["predict", "x.jpg", "--pipeline", "none.yaml"], "none.yaml: no such pipeline file"),
        (["predict", "x.jpg", "--url", "127.0.0.1:8080"], "is not the URL of a server; it should look like http://"),
        (["predict", "x.jpg", "--url", ""], "is not the URL of a server"),
        (["models", "x"], "unrecognized arguments: x"),
        (["completion", "tcsh"], "invalid choice: 'tcsh'"),
    ],
)
def test_a_wrong_command_line_is_2_and_sends_nothing(
    sod: Run, server: FakeServer, arguments: list[str], message: str
) -> None:
    code, out, err = sod(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert not server.requests


# What is printed and saved


def test_json_is_one_line_an_image(sod: Run, street: Path) -> None:
    for options in (["--json"], ["--format", "json"]):
        code, out, _ = sod("predict", street, street, *options)
        assert code == 0
        assert [json.loads(line) for line in out.splitlines()] == [expected(street)] * 2


def test_csv_has_one_header(sod: Run, street: Path) -> None:
    code, out, _ = sod("predict", street, street, "--format", "csv")
    assert code == 0
    assert out.splitlines() == [
        "input_path,page_index,cls_id,label,score,x1,y1,x2,y2",
        *[f"{street},,3,car,0.75,1.5,2.0,3.0,4.0"] * 2,
    ]


def test_coco_is_one_array_and_files_are_named_by_their_id(sod: Run, tmp_path: Path, server: FakeServer) -> None:
    for name in ("000042.jpg", "street.jpg"):
        (tmp_path / name).write_bytes(jpeg())
    (tmp_path / "scan.pdf").write_bytes(pdf(1))
    code, out, _ = sod("predict", tmp_path, "--format", "coco")
    entry = {"category_id": 3, "bbox": [1.5, 2.0, 1.5, 2.0], "score": 0.75}
    assert (code, json.loads(out)) == (0, [{"image_id": name, **entry} for name in (42, "scan_0", "street")])
    server.respond_with(200, {**SUCCESS, "result": {"detectedObjects": []}})
    assert json.loads(sod("predict", tmp_path, "--format", "coco")[1]) == []


def test_saving(sod: Run, street: Path, tmp_path: Path) -> None:
    for option in ("--save_path", "--save-path"):
        folder = tmp_path / option
        code, _, err = sod("predict", street, option, folder)
        assert (code, err) == (0, "")
        assert json.loads((folder / "street_res.json").read_text()) == expected(street)["res"]
        assert (folder / "street_res.jpg").read_bytes() == OVERLAY


def test_no_image_asks_for_none(sod: Run, street: Path, tmp_path: Path, server: FakeServer) -> None:
    assert sod("predict", street, "--save-path", tmp_path / "out", "--no-image")[0] == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["street_res.json"]
    assert server.requests[0][1]["visualize"] is False


def test_save_selects_the_files(sod: Run, street: Path, tmp_path: Path, server: FakeServer) -> None:
    assert sod("predict", street, "--save_path", tmp_path / "out", "--save", "csv, yolo")[0] == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["street.txt", "street_res.csv"]
    assert server.requests[0][1]["visualize"] is False, "the size is known here"
    url = "http://example.com/far.jpg"
    assert sod("predict", url, "--save_path", tmp_path / "out", "--save", "yolo")[0] == 0
    assert (tmp_path / "out" / "far.txt").read_text().startswith("3 ")


def test_pages_and_folders(sod: Run, tmp_path: Path) -> None:
    (tmp_path / "in" / "below").mkdir(parents=True)
    (tmp_path / "in" / "a.pdf").write_bytes(pdf(2))
    (tmp_path / "in" / "below" / "b.jpg").write_bytes(jpeg())
    code, out, _ = sod("predict", tmp_path / "in", "--json", "--save_path", tmp_path / "out")
    assert code == 0
    assert [json.loads(line)["res"]["page_index"] for line in out.splitlines()] == [0, 1, None]
    saved = [f"{stem}_res.{kind}" for stem, kind in (("a_0", "png"), ("a_1", "png"), ("b", "jpg"))]
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.[pj][np]g")) == saved
    assert (tmp_path / "out" / "below" / "b_res.json").is_file()


# What goes wrong


def test_a_refused_image_does_not_stop_the_others(sod: Run, street: Path, bad: Path) -> None:
    code, out, err = sod("predict", bad, "missing.jpg", street)
    assert code == 1
    assert ast.literal_eval(out) == expected(street)
    *sentences, sums = err.splitlines()
    assert sentences == [
        f"sod: {bad}: the server answered 415: not an image (logId 7)",
        "sod: missing.jpg: no such file or folder",
    ]
    assert sums.startswith("sod: 1 image, 1 object, 2 failed, in ")


def test_a_url_that_is_none_does_not_stop_the_others(sod: Run, street: Path) -> None:
    code, out, err = sod("predict", "http://[::1/a.jpg", street, "--format", "text")
    assert code == 1
    assert len(out.splitlines()) == 1
    assert "http://[::1/a.jpg: this is not a URL" in err


def test_a_path_that_may_not_be_looked_at_does_not_stop_the_others(sod: Run, street: Path) -> None:
    """A name that is too long gives an error of the system, as a folder that may not be searched does."""
    for suffix in ("jpg", "pdf", "tif"):
        code, out, err = sod("predict", f"{'n' * 300}.{suffix}", street, "--format", "text")
        assert (code, len(out.splitlines())) == (1, 1)
        assert f".{suffix}: cannot be read: File name too long" in err


def test_a_pipe_in_a_folder_is_not_read(sod: Run, street: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    os.mkfifo(folder / "a.jpg")
    (folder / "b.jpg").write_bytes(street.read_bytes())
    code, out, err = sod("predict", folder, "--format", "text")
    assert (code, len(out.splitlines()), err) == (0, 1, "")


def test_a_name_with_control_characters_is_one_harmless_line(sod: Run, street: Path, tmp_path: Path) -> None:
    name = tmp_path / "a\n\x1b[31mb\x9b.jpg"
    name.write_bytes(street.read_bytes())
    _, out, _ = sod("predict", name, "--format", "text", "--save_path", tmp_path)
    assert len(out.splitlines()) == 1
    assert out.count("a\\n\\x1b[31mb\\x9b") == 2
    _, _, err = sod("predict", tmp_path / "\x1b[31m.jpg")
    assert "\\x1b[31m.jpg: no file matches" in err


def test_options_of_files_and_formats_that_are_not_written_are_noted(sod: Run, street: Path) -> None:
    code, _, err = sod("predict", street, "--save", "csv", "--first_category_id", "1")
    assert code == 0
    assert err.splitlines() == [
        "sod: note: --save has an effect only with --save_path",
        "sod: note: --first_category_id has an effect only with --format coco",
    ]
    assert sod("predict", street, "--first_category_id", "1", "--format", "coco")[2] == ""


def test_on_error_raise_ends_there(sod: Run, street: Path, bad: Path) -> None:
    code, out, err = sod("predict", street, bad, street, "--on_error", "raise")
    assert code == 1
    assert ast.literal_eval(out) == expected(street)
    assert err.splitlines()[0] == f"sod: {bad}: the server answered 415: not an image (logId 7)"
    assert err.splitlines()[1].startswith("sod: 1 image, 1 object, 1 failed, in ")


def test_a_folder_that_cannot_be_made(sod: Run, street: Path) -> None:
    code, out, err = sod("predict", street, "--save_path", street / "below a file")
    assert code == 1
    assert ast.literal_eval(out) == expected(street)
    assert err.startswith(f"sod: {street}: not saved: ")
    assert err.splitlines()[1].startswith("sod: 1 image, 1 object, 1 failed, in ")


def test_on_error_raise_ends_at_a_file_that_cannot_be_saved(sod: Run, street: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    line = ("predict", street, street, street, "--save_path", tmp_path / "file")
    code, out, err = sod(*line, "--on_error", "raise")
    assert (code, out) == (1, "")
    refusal, sums = err.splitlines()
    assert refusal.startswith(f"sod: {street}: not saved: ")
    assert sums.startswith("sod: 1 image, 1 object, 1 failed, in ")
    code, out, err = sod(*line)
    assert (code, len(out.splitlines()), err.count("not saved")) == (1, 3, 3)


def test_a_folder_without_images_is_said(sod: Run, tmp_path: Path) -> None:
    code, out, err = sod("predict", tmp_path)
    assert (code, out) == (1, "")
    assert err.startswith(f"sod: {tmp_path}: this folder and its subfolders contain no image and no PDF\n")


def test_no_server_is_3_and_stops(sod: Run, street: Path, nowhere: str) -> None:
    code, out, err = sod("predict", street, street, "--url", nowhere, "--retries", "0")
    assert (code, out) == (3, "")
    assert err.startswith(f"sod: cannot reach {nowhere}")
    assert err.count("\n") == 1
    code, out, err = sod("models", "--url", nowhere)
    assert (code, out) == (3, "")
    assert err.startswith(f"sod: cannot reach {nowhere}")


@pytest.mark.parametrize(("status", "message"), [(401, "who are you"), (503, "full"), (429, "slow down")])
def test_a_server_that_refuses_all_requests_is_3_too(
    sod: Run, street: Path, server: FakeServer, status: int, message: str
) -> None:
    server.respond_with(status, {"logId": "7", "errorCode": status, "errorMsg": message})
    code, _, err = sod("predict", street, street, "--retries", "0")
    assert code == 3
    assert err == f"sod: the server answered {status}: {message} (logId 7)\n"
    assert len(server.requests) <= 2


@pytest.mark.parametrize(
    ("command", "lines"),
    [
        ("predict", ("0    every image", "1    at least one image", "2    the command line", "3    the server")),
        ("models", ("0    the models", "2    the command line", "3    the server")),
    ],
)
def test_help_tells_the_exit_codes_and_where_it_runs(sod: Run, command: str, lines: tuple[str, ...]) -> None:
    code, out, _ = sod(command, "--help")
    assert code == 0
    for line in (*lines, "130  interrupt"):
        assert line in out
    assert "server: --url; otherwise the environment variable SOD_URL; otherwise" in out
    assert out.startswith(f"usage: sod {command} [-h]")


def test_version(sod: Run) -> None:
    code, out, _ = sod("--version")
    assert code == 0
    assert out.startswith(f"sod-client {sod_client.__version__}")


def test_python_m(server: FakeServer, street: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sod_client", "predict", str(street), "--url", server.url, "--json"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == expected(street)


# Where it runs


def test_a_server_at_the_default_address_is_used(
    sod: Run, server: FakeServer, street: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOD_URL")
    monkeypatch.setattr("sod_client._cli.server_address.DEFAULT_URL", server.url)
    monkeypatch.setattr("sod_client._local_server.local_server.entry_points", lambda **_: ())
    # Another service on this port must not receive images.
    server.files["/health"] = b'{"status": "ok"}'
    code, _, err = sod("predict", street)
    assert code == 3
    assert err.startswith("sod: no server address is given (url=, or SOD_URL)")
    server.files["/health"] = b'{"logId": "7", "errorCode": 0, "errorMsg": "Healthy"}'
    assert sod("predict", street)[::2] == (0, "")
    # --device and --use_hpip require a local server.
    assert sod("predict", street, "--device", "cpu")[0] == 3
    assert sod("predict", street, "--use_hpip")[0] == 3
    server.files["/health"] = b"<html>"
    assert sod("predict", street)[0] == 3


def test_options_without_effect_are_noted_once(sod: Run, server: FakeServer, street: Path) -> None:
    code, _, err = sod("predict", street, "--device", "gpu:0", "--engine", "paddle", "--hpi_config", "{'a': 1}")
    assert code == 0
    assert err.splitlines() == [
        "sod: note: engine, hpi_config: this option of PaddleX has no effect; use device and use_hpip instead",
        f"sod: note: device and use_hpip have no effect: the server at {server.url} uses its own device",
    ]
