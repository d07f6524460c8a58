"""What is left of a run that was killed or interrupted, and that the next one completes it."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sod_client.cli import main

from tests.clients.archives.conftest import files, reply_by_content, rows, write_images
from tests.clients.conftest import FakeServer, Reply

# Parts follow one another quickly, so that a kill may hit any step.
COMMAND = """
import sys
from sod_client._archives.dataset import dataset
from sod_client._archives.run import collect
from sod_client.cli import main
collect.LOCAL_S, dataset.FAN_IN = 0.02, 3
sys.exit(main(["batch", *sys.argv[1:], "--no_progress"]))
"""
IMAGES = 150


@pytest.fixture
def slow(server: FakeServer) -> FakeServer:
    """A server that needs five milliseconds an image."""

    def reply(body: Any) -> Reply:
        time.sleep(0.005)
        return reply_by_content(body)

    server.reply = reply
    return server


@pytest.fixture
def many(tmp_path: Path) -> Path:
    return write_images(tmp_path / "many", IMAGES)


def start(*arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", COMMAND, *map(str, arguments), "--max_in_flight", "2"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def detected(server: FakeServer) -> int:
    return sum(body is not None for _, body in server.requests)


def wait_for(process: "subprocess.Popen[str]", server: FakeServer, count: int) -> None:
    """Wait until the server has been asked for so many images, or the process has ended."""
    until = time.monotonic() + 30
    while detected(server) < count and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.002)


@pytest.fixture
def whole(many: Path, tmp_path: Path, slow: FakeServer) -> dict[str, bytes]:
    """The files of an undisturbed run."""
    assert main(["batch", str(many), str(tmp_path / "whole"), "--url", slow.url, "--max_in_flight", "8"]) == 0
    slow.requests.clear()
    return files(tmp_path / "whole")


def test_after_kills_every_image_is_one_row(many: Path, tmp_path: Path, slow: FakeServer, whole: dict[str, bytes]):
    out, chance = tmp_path / "out", random.Random(5)
    kills = 0
    for _ in range(5):
        process = start(many, out, "--url", slow.url)
        wait_for(process, slow, detected(slow) + chance.randrange(5, 35))
        time.sleep(chance.random() * 0.05)
        process.kill()
        kills += process.wait() == -signal.SIGKILL
        process.communicate()
    assert kills >= 3
    process = start(many, out, "--url", slow.url)
    assert process.communicate()[1] == ""
    assert process.returncode == 0
    assert files(out) == whole
    assert len({row["path"] for row in rows(out)}) == len(rows(out)) == IMAGES
    assert detected(slow) < IMAGES + kills * 40


def test_a_kill_while_the_files_are_replaced(many: Path, tmp_path: Path, slow: FakeServer):
    """Each step of the compaction is the last one of a process once."""
    out, step = tmp_path / "out", 0
    start(many / "flight0", out, "--url", slow.url).communicate()
    killed = COMMAND.replace(
        "sys.exit",
        """
import os
from sod_client._archives.dataset.place import LocalPlace
left = int(sys.argv.pop())
def last(call):
    def counted(*arguments):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), 9)
        return call(*arguments)
    return counted
def compact(self, own=dataset.Dataset.compact):
    for name in ("move", "remove", "write", "new_file"):
        setattr(LocalPlace, name, last(getattr(LocalPlace, name)))
    dataset.FILE_ROWS = 64
    dataset.merge.GROUP_ROWS = 64
    own(self)
dataset.Dataset.compact = compact
sys.exit""",
    ).replace("import dataset\n", "import dataset, merge\ndataset.merge = merge\n")
    code = -9
    while code == -9:
        process = subprocess.run(
            [sys.executable, "-c", killed, many, out, "--url", slow.url, str(step)],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        code, step = process.returncode, step + 5
    assert (code, process.stderr) == (0, "")
    assert step >= 10
    assert len({row["path"] for row in rows(out)}) == len(rows(out)) == IMAGES


def test_ctrl_c_finishes_what_is_in_flight(many: Path, tmp_path: Path, slow: FakeServer, whole: dict[str, bytes]):
    process = start(many, tmp_path / "out", "--url", slow.url)
    wait_for(process, slow, 40)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130
    lines = error.splitlines()
    assert lines[0] == "sod: the images in flight are being finished; Ctrl-C again ends at once"
    assert lines[1].startswith("sod: interrupted: ")
    assert lines[1].endswith("The same command goes on")
    assert detected(slow) < IMAGES
    process = start(many, tmp_path / "out", "--url", slow.url)
    process.communicate()
    assert files(tmp_path / "out") == whole
    assert detected(slow) == IMAGES


def test_ctrl_c_that_the_shell_ignores_stays_ignored(
    many: Path, tmp_path: Path, slow: FakeServer, whole: dict[str, bytes]
):
    usual = signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # which the process inherits, as from `sod batch … &` in a script
    try:
        process = start(many, tmp_path / "out", "--url", slow.url)
    finally:
        signal.signal(signal.SIGINT, usual)
    wait_for(process, slow, 40)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 0
    assert files(tmp_path / "out") == whole
