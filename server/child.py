"""One supervised process: started in a session of its own, stopped with everything it started."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import Thread
from typing import BinaryIO

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class Child:
    """A process that dies with us.

    Args:
        name: for messages.
        command: command line.
        environ: its whole environment.
        noise: lines of its output that match are not shown.
    """

    def __init__(
        self, name: str, command: Sequence[str], environ: Mapping[str, str], noise: re.Pattern[bytes] | None = None
    ) -> None:
        self.name = name
        self._command = list(command)
        self._environ = dict(environ)
        self._noise = noise
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it. Ctrl-C in the terminal reaches us only, so that we choose the order in which to stop."""
        self._process = subprocess.Popen(
            self._command,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if self._noise else None,
            stderr=subprocess.STDOUT if self._noise else None,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 — calls one system call, and we hold no lock
        )
        if self._noise:
            Thread(target=self._show, args=[self._process.stdout, self._noise], daemon=True).start()

    def note_ready(self) -> None:
        """Told after each check that passed; a subclass may remember what it was then."""

    @property
    def pid(self) -> int:
        """Process id of the last start."""
        return self._running().pid

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self.name} has not been started")
        return self._process

    def exit_code(self) -> int | None:
        """None while it runs; negative for a signal, as in `subprocess`."""
        return None if self._process is None else self._process.poll()

    def stop(self, timeout_s: float) -> None:
        """Ask it to end, and end it and its children by force after `timeout_s` seconds."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._end_group()

    def kill(self) -> None:
        """End it and its children by force, at once; who waits in `stop` goes on."""
        if self.exit_code() is None and self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    @staticmethod
    def _show(output: BinaryIO, noise: re.Pattern[bytes]) -> None:
        for line in output:
            if not noise.search(line):
                sys.stderr.buffer.write(line)
                sys.stderr.buffer.flush()

    def _end_group(self) -> None:
        """End what the process has left in its group (Triton's stubs, if it was killed)."""
        for _ in range(20):
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                return
            time.sleep(0.05)


def _die_with_parent() -> None:
    """Runs in the new process: get SIGTERM should our launcher be killed."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
