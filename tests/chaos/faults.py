"""Faults: what is done to which process of a server, and how soon it must answer again."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from tests.e2e.started_server import Serving, command_line

DEMO = "PP-YOLOE_plus_SOD-demo"
STAGES = ("preprocess_640", f"{DEMO}_detector", "postprocess")
_AGAIN_AFTER_S = 3.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        name: for the table.
        goal_s: seconds within which an idle machine must answer again.
        process: the process that is harmed.
        number: the signal that it gets.
        replaces: the process that must be another afterwards, "Triton", "gateway" or "worker"; all others must be the
            same.
        again: it is harmed a second time three seconds after it has recovered, and that is measured.
        workers: of the gateway.
    """

    name: str
    goal_s: float
    process: Callable[[Serving], psutil.Process]
    number: signal.Signals
    replaces: str
    again: bool = False
    workers: int = 1

    def harm(self, server: Serving) -> None:
        """Send the signal."""
        os.kill(self.process(server).pid, self.number)


def triton(server: Serving) -> psutil.Process:
    return server.child("bin/tritonserver")


def gateway(server: Serving) -> psutil.Process:
    return server.child("-m gateway")


def workers(server: Serving) -> list[psutil.Process]:
    """The worker processes of the gateway; none if it is one process."""
    return [process for process in gateway(server).children() if "spawn_main" in command_line(process)]


def busiest_worker(server: Serving) -> psutil.Process:
    """The worker with most connections: all clients may have one worker, and the other's end harms nobody."""
    return max(workers(server), key=lambda process: len(process.net_connections("tcp")))


def stage(name: str) -> Callable[[Serving], psutil.Process]:
    return lambda server: server.child("triton_python_backend_stub", f"/{name}/")


def faults() -> list[Fault]:
    """All of them, in the order of the table."""
    kill, stop = signal.SIGKILL, signal.SIGSTOP
    return [
        *(Fault(f"stage {name} killed", 10, stage(name), kill, "Triton") for name in STAGES),
        Fault("a stage killed again, 3 s after it was back", 10, stage("postprocess"), kill, "Triton", again=True),
        Fault("Triton killed", 10, triton, kill, "Triton"),
        Fault("Triton killed again, 3 s after it was back", 10, triton, kill, "Triton", again=True),
        Fault("gateway killed", 5, gateway, kill, "gateway"),
        *(Fault(f"stage {name} stopped", 30, stage(name), stop, "Triton") for name in STAGES),
        Fault("Triton stopped", 30, triton, stop, "Triton"),
        Fault("gateway stopped", 5, gateway, stop, "gateway"),
        Fault("one of two gateway workers killed", 5, busiest_worker, kill, "worker", workers=2),
        Fault("one of two gateway workers stopped", 5, busiest_worker, stop, "worker", workers=2),
    ]


def wait_for_back(server: Serving, answers: Callable[[], bool], timeout_s: float) -> None:
    """Wait until requests are answered, and three seconds more."""
    server.wait_for(answers, "an answer", timeout_s)
    time.sleep(_AGAIN_AFTER_S)
