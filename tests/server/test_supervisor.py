"""The order and the times of a stop, with children that are no servers."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from server.child import Child
from server.supervisor import Supervisor

CHILD = """
import pathlib, signal, sys, time
name, seconds, log = sys.argv[1], float(sys.argv[2]), pathlib.Path(sys.argv[3])

def tell(what):
    with log.open("a") as file:
        file.write(f"{name} {what}\\n")

def stop(*_):
    tell("asked")
    time.sleep(seconds)
    tell("done")
    sys.exit(0)

signal.signal(signal.SIGTERM, stop)
tell("up")
while True:
    time.sleep(1)
"""


@pytest.fixture
def supervise(tmp_path, monkeypatch):
    """Run a supervisor until a signal, and return what its children told."""
    log = tmp_path / "log"
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setattr("server.supervisor.is_ready", lambda _: True)
    monkeypatch.setattr("server.supervisor._STOP_TIMEOUT_S", 5.0)

    def told() -> list[str]:
        return log.read_text().splitlines() if log.exists() else []

    def child(name: str, seconds: float) -> Child:
        return Child(name, [sys.executable, "-c", CHILD, name, str(seconds), str(log)], dict(os.environ))

    def run(*, gateway_takes: float, drain_s: float, on_ready=lambda: None) -> list[str]:
        def ready() -> None:
            while {"gateway up", "triton up"} - set(told()):
                time.sleep(0.02)
            on_ready()
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)  # the signal ends this

        times = {"start_timeout_s": 60, "unready_restart_s": 60, "drain_s": drain_s}
        Supervisor(child("triton", 0), child("gateway", gateway_takes), url="", **times).run(ready)
        return told()

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_the_gateway_has_its_time_and_triton_until_then(supervise):
    told = supervise(gateway_takes=6, drain_s=60)
    assert told[2:] == ["gateway asked", "gateway done", "triton asked", "triton done"]


def test_a_gateway_that_takes_longer_is_ended(supervise):
    assert supervise(gateway_takes=3600, drain_s=0)[2:] == ["gateway asked", "triton asked", "triton done"]


def test_a_second_signal_ends_both_at_once(supervise, tmp_path: Path):
    ended = threading.Event()

    def insist() -> None:
        while not ended.wait(0.3):
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=insist)
    try:
        told = supervise(gateway_takes=3600, drain_s=3600, on_ready=thread.start)
    finally:
        ended.set()
        thread.join()
    assert "gateway done" not in told
    assert (tmp_path / "log").exists()
