"""Readers that leave, full disks, and streams that are closed: no traceback."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.conftest import FakeServer


def test_a_reader_that_leaves_gets_no_traceback(server: FakeServer, street: Path) -> None:
    command = [sys.executable, "-m", "sod_client", "predict", str(street), "--url", server.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 1


def test_a_full_disk_gets_no_traceback(server: FakeServer, street: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    with full.open("wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", "sod_client", "predict", str(street), "--url", server.url],
            stdout=out, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "sod: cannot continue: [Errno 28] No space left on device\n"


def test_closed_streams_get_no_traceback(server: FakeServer, street: Path, tmp_path: Path) -> None:
    command = f"{sys.executable} -m sod_client predict {street} --url {server.url} --save_path {tmp_path / 'o'}"
    done = subprocess.run(f"{command} >&- <&-", shell=True, stderr=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    json.loads((tmp_path / "o" / f"{street.stem}_res.json").read_text())
