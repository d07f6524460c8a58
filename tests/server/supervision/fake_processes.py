"""Child processes that behave as Triton and the gateway do towards the launcher, without detectors."""

import os
import sys
from pathlib import Path

from server.process.managed_process import ManagedProcess
from server.process.output import Output
from server.triton.api import ModelState, TritonApiError
from server.triton.process import Served

# Writes what happens to it into a file: "<name> up", "<name> asked" at SIGTERM, "<name> done".
_COMMON = """
import pathlib, signal, subprocess, sys, time
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
"""
_GATEWAY = (
    _COMMON
    + """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
ready = pathlib.Path(sys.argv[5])
hang = ready.with_name("hang")

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        while hang.exists():
            time.sleep(0.1)
        fine = self.path == "/health/live" or not ready.exists()
        self.send_response(200 if fine else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[4])), Handler)
tell("up")
server.serve_forever(0.05)
"""
)
_TRITON = (
    _COMMON
    + """
stubs = [subprocess.Popen([sys.argv[4], seconds]) for seconds in sys.argv[5:]]
tell("up")
while True:
    time.sleep(1)
"""
)


class FakeApi:
    """Answers as Triton's HTTP API while the fake process runs.

    Attributes:
        failing: Triton's error for every inference; empty for detections.
    """

    def __init__(self, process: "FakeTriton") -> None:
        self._process = process
        self.failing = ""

    def is_live(self, _timeout_s: float) -> bool:
        return self._process.exit_code() is None

    def models(self) -> list[ModelState]:
        return [ModelState("demo", not self._process.damaged, "")]

    def detect(self, _model: str, _image: bytes, _timeout_s: float) -> None:
        if self.failing:
            raise TritonApiError(self.failing)


class FakeTriton(ManagedProcess):
    """A process with two children that are named as the stubs of Triton's Python backend.

    Args:
        folder: for the stubs' program and the log.
        output: for messages.
        stub_seconds: how long each stub runs before it exits by itself; it is not waited for.
    """

    def __init__(self, folder: Path, output: Output, stub_seconds: tuple[float, float] = (3600, 3600)) -> None:
        stub = folder / "triton_python_backend_stub"
        if not stub.exists():
            stub.symlink_to("/bin/sleep")
        arguments = ["triton", "0", str(folder / "log"), str(stub), *map(str, stub_seconds)]
        command = [sys.executable, "-c", _TRITON, *arguments]
        super().__init__("Triton", command, dict(os.environ), output, source="triton")
        self.api = FakeApi(self)
        self.starts = 0
        self.damaged = False

    def start(self) -> None:
        self.starts += 1
        super().start()

    def is_live(self, timeout_s: float) -> bool:
        return self.api.is_live(timeout_s)

    def served(self, states: list[ModelState]) -> Served:
        ready = tuple(state.name for state in states if state.ready)
        return Served(ready, {} if ready else {"demo": "it is damaged"})

    def note_ready(self, states: list[ModelState]) -> None:
        pass

    def note_crash(self, stage: str) -> None:
        pass

    def loading(self) -> list[str]:
        return []

    def stage_of(self, _pid: int) -> str:
        return ""


class FakeGateway(ManagedProcess):
    """Answers 200, but /health/ready with 503 while the file `unready` is there, and nothing while `hang` is."""

    def __init__(self, folder: Path, output: Output, port: int, seconds: float = 0) -> None:
        arguments = ["gateway", str(seconds), str(folder / "log"), str(port), str(folder / "unready")]
        super().__init__(
            "the gateway", [sys.executable, "-c", _GATEWAY, *arguments], dict(os.environ), output, source="gateway"
        )
        self.starts = 0

    def start(self) -> None:
        self.starts += 1
        super().start()
