"""The process of `serving`, a stand-in for a gateway, which can be killed."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.performance.errors import BenchmarkError
from server.launching import free_ports

_ROOT = Path(__file__).parents[2]
_START_S = 30.0


@dataclass
class StandIn:
    """The process, which can be killed and started again at its address.

    Attributes:
        url: its address.
        seconds: that it takes for an image.
        at_once: images at once, and the others wait; 0 is any number.
    """

    url: str
    seconds: float
    at_once: int = 0
    _process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start it, and wait until it listens.

        Raises:
            BenchmarkError: it does not.
        """
        port = self.url.rpartition(":")[2]
        command = [sys.executable, "-m", "benchmarks.stand_in.serving", port, str(self.seconds), str(self.at_once)]
        self._process = subprocess.Popen(command, cwd=_ROOT)
        until = time.monotonic() + _START_S
        while time.monotonic() < until and self._process.poll() is None:
            try:
                httpx.get(f"{self.url}/models", timeout=5)
            except httpx.HTTPError:
                time.sleep(0.05)
            else:
                return
        self.kill()
        raise BenchmarkError(f"the stand-in at {self.url} does not listen")

    def kill(self) -> None:
        """End it by SIGKILL."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextmanager
def started(seconds: float, at_once: int = 0) -> Iterator[StandIn]:
    """A stand-in that listens at entry, and is ended at exit.

    Args:
        seconds: that it takes for an image.
        at_once: images at once, and the others wait; 0 is any number.
    """
    stand_in = StandIn(f"http://127.0.0.1:{free_ports(1)[0]}", seconds, at_once)
    stand_in.start()
    try:
        yield stand_in
    finally:
        stand_in.kill()
