"""What `sod predict` shows a person: one line an image, a progress bar, notes."""

import base64
import io
import json
import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from PIL import Image
from sod_client.cli import main

from tests.clients.conftest import OVERLAY, FakeServer, jpeg, pdf

DRAWN = base64.b64encode(OVERLAY).decode()


@pytest.fixture(autouse=True)
def _one_car(server: FakeServer) -> None:
    found = {"bbox": [1.5, 2, 3, 4], "categoryId": 3, "categoryName": "car", "score": 0.75}
    result = {"detectedObjects": [found], "image": DRAWN}
    server.respond_with(200, {"logId": "7", "errorCode": 0, "errorMsg": "Success", "result": result})


def test_a_dark_image_of_12_bits_is_told_and_stretched(
    tmp_path: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    field = tmp_path / "field.png"
    Image.frombytes("I;16", (64, 64), b"".join(number.to_bytes(2, "little") for number in range(4096))).save(field)
    assert main(["predict", str(field), "--url", server.url]) == 0
    assert capsys.readouterr().err == (
        f"sod: note: {field}: the image has 16 bits but no value above 4095, so it looks almost black: pass --stretch, "
        "or stretch=True, to scale its values\n"
    )
    assert server.images()[-1] == field.read_bytes()
    assert main(["predict", str(field), "--url", server.url, "--stretch"]) == 0
    assert capsys.readouterr().err == ""
    with Image.open(io.BytesIO(server.images()[-1])) as sent:
        assert sent.convert("L").getextrema() == (0, 255)


def test_category_ids_may_count_from_one(server: FakeServer, street: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["predict", str(street), "--url", server.url, "--format", "coco", "--first_category_id", "1"]
    assert main(arguments) == 0
    assert [entry["category_id"] for entry in json.loads(capsys.readouterr().out)] == [4]


# The progress bar


def on_a_terminal(command: list[str]) -> tuple[int, str, str]:
    """Run with stderr at a terminal and stdout in a pipe; exit code and both texts."""
    reader, writer = pty.openpty()
    termios.tcsetwinsize(writer, (24, 80))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=writer, stdin=subprocess.DEVNULL) as process:
        os.close(writer)
        shown = b""
        try:
            while chunk := os.read(reader, 4096):
                shown += chunk
        except OSError:  # EIO: the other end was closed
            pass
        assert process.stdout is not None
        out = process.stdout.read().decode()
    os.close(reader)
    return process.returncode, out, shown.decode()


def stdout_on_a_terminal(command: list[str]) -> tuple[int, str]:
    reader, writer = pty.openpty()
    termios.tcsetwinsize(writer, (24, 200))
    with subprocess.Popen(command, stdout=writer, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL) as process:
        os.close(writer)
        shown = b""
        try:
            while chunk := os.read(reader, 4096):
                shown += chunk
        except OSError:  # EIO: the other end was closed
            pass
    os.close(reader)
    return process.returncode, shown.decode()


def test_a_person_sees_one_line_an_image(server: FakeServer, street: Path, tmp_path: Path) -> None:
    found = [
        {"bbox": [1, 2, 3, 4], "categoryId": number, "categoryName": label, "score": 0.75}
        for number, label in enumerate(("car", "car", "bus", "people", "people", "车", "bus"))
    ]
    server.respond_with(
        200,
        {"logId": "7", "errorCode": 0, "errorMsg": "Success", "result": {"detectedObjects": found, "image": DRAWN}},
    )
    command = [sys.executable, "-m", "sod_client"]
    options = ["--url", server.url, "--save_path", str(tmp_path / "out")]
    code, shown = stdout_on_a_terminal([*command, "predict", str(street), *options])
    assert code == 0
    assert re.fullmatch(
        rf"{street} 64\u00d748: 2 cars, 2 buses, 2 people, 1 车, [\d,]+ ms → {tmp_path}/out/street_res\.jpg\r\n", shown
    )
    for words in (["predict", str(street), "--format", "python"], ["--input", str(street)]):
        code, shown = stdout_on_a_terminal([*command, *words, *options])
        assert code == 0
        assert shown.startswith("{'res': {'input_path': ")
    server.respond_with(200, {"logId": "7", "errorCode": 0, "errorMsg": "Success", "result": {"detectedObjects": []}})
    code, shown = stdout_on_a_terminal([*command, "predict", str(street), "--url", server.url])
    assert re.fullmatch(rf"{street} 64\u00d748: no objects, [\d,]+ ms\r\n", shown)


def test_a_person_sees_a_bar_and_the_sums_and_a_pipe_does_not(server: FakeServer, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg())
    command = [sys.executable, "-m", "sod_client", "predict", str(tmp_path), "--url", server.url, "--json"]
    code, out, shown = on_a_terminal(command)
    assert code == 0
    assert len(out.splitlines()) == 3
    assert "/3 [" in shown
    assert "sod: 3 images, 3 objects, in " in shown
    code, out, shown = on_a_terminal([*command, "--no_progress"])
    assert (code, len(out.splitlines())) == (0, 3)
    assert "/3 [" not in shown
    (tmp_path / "scan.pdf").write_bytes(pdf(2))
    code, out, shown = on_a_terminal(command)
    assert (code, len(out.splitlines())) == (0, 5)
    assert "image" in shown
    assert "/4 [" not in shown, "the number of pages is unknown"
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
