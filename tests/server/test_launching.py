"""Processes that are started, waited for and stopped."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from server.launching import StartError, free_ports, launched, server_command

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
# It says when it is ready, and ignores SIGTERM.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def test_a_process_that_ends_while_starting_is_reported_with_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('no such model'); sys.exit(3)"]
    expected = r"(?s)the server ended with exit code 3 while starting; .*log ends with:\nno such model"
    with (
        pytest.raises(StartError, match=expected),
        launched("the server", command, lambda: False, log=tmp_path / "log"),
    ):
        pytest.fail("it is not ready")


def test_a_process_that_is_not_ready_in_time_is_stopped() -> None:
    before, started = set(psutil.Process().children()), set[psutil.Process]()

    def is_ready() -> bool:
        started.update(set(psutil.Process().children()) - before)
        return False

    with (
        pytest.raises(StartError, match=r"the server was not ready within 0\.1 s; its messages are above"),
        launched("the server", SLEEP, is_ready, start_timeout_s=0.1),
    ):
        pytest.fail("it is not ready")
    (process,) = started
    assert not process.is_running()


def test_it_is_waited_for_until_it_is_ready(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = (
        "import os, time; time.sleep(0.3); print(os.environ['GREETING'], os.getcwd(), flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", program]
    with launched(
        "it", command, lambda: "hello" in log.read_text(), log=log, environ={"GREETING": "hello"}, folder=tmp_path
    ) as process:
        assert process.poll() is None
        assert log.read_text() == f"hello {tmp_path}\n"
    assert process.returncode == -signal.SIGTERM


def test_a_stopped_process_is_ended_without_waiting_for_the_timeout() -> None:
    with launched("it", SLEEP, lambda: True, stop_timeout_s=300) as process:
        process.send_signal(signal.SIGSTOP)
        before = time.monotonic()
    assert time.monotonic() - before < 60
    assert process.returncode == -signal.SIGTERM


def test_a_process_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", STUBBORN]
    with launched("it", command, lambda: log.read_text().endswith("\n"), log=log, stop_timeout_s=0.2) as process:
        child = psutil.Process(int(log.read_text()))
    assert process.returncode == -signal.SIGKILL
    assert not psutil.wait_procs([child], timeout=30)[1]


def test_it_ends_with_a_killed_parent() -> None:
    program = (
        "import sys, time\nfrom server.launching import launched\n"
        "with launched('it', [sys.executable, '-c', 'import time; time.sleep(600)'], lambda: True) as process:\n"
        "    print(process.pid, flush=True)\n    time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        process = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    assert not psutil.wait_procs([process], timeout=30)[1]


def test_the_server_s_command_has_all_four_ports() -> None:
    command = server_command([1, 2, 3, 4], "--model", "demo")
    ports = ["--port", "1", "--http-port", "2", "--grpc-port", "3", "--metrics-port", "4"]
    assert command[1:] == ["-m", "server", *ports, "--model", "demo"]


def test_free_ports_differ() -> None:
    assert len(set(free_ports(4))) == 4
