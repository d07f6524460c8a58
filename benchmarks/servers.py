"""Servers started for a measurement: ready, watched, paused while others are measured, and always stopped."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import httpx
import psutil

_ANSWER_TIMEOUT_S = 120.0
_START_TIMEOUT_S = 600.0
_STOP_TIMEOUT_S = 60.0
_LOG_TAIL = 2000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class StartError(Exception):
    """A server did not start; the text says what its log says."""


@dataclass(frozen=True, slots=True)
class Host:
    """A process with all its children.

    Attributes:
        name: for people.
        pid: of the process that was started.
    """

    name: str
    pid: int

    def processes(self) -> list[psutil.Process]:
        """It and its children, and theirs."""
        try:
            process = psutil.Process(self.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def pause(self) -> None:
        """Take it off the processor, so that its own checks and idle threads disturb nobody. Parents first."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """The opposite."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                if self._may_pause(process):
                    process.send_signal(number)

    def _may_pause(self, process: psutil.Process) -> bool:  # noqa: ARG002 - of a kind of host
        return True


@dataclass(frozen=True, slots=True)
class Server(Host):
    """A launcher with Triton and the gateway.

    Attributes:
        url: the gateway's.
        grpc: Triton's gRPC address.
        profile: of the detectors.
    """

    url: str
    grpc: str
    profile: str

    def _may_pause(self, process: psutil.Process) -> bool:
        # Triton and its stubs watch each other's health over locks with a time limit, and die of a pause; without the
        # launcher's and the gateway's checks they have nothing to do.
        return not any("triton" in Path(word).name for word in process.cmdline()[:1])


@contextmanager
def started(
    profile: str, models: Sequence[str] = (), arguments: Sequence[str] = (), log: Path | None = None, **settings: str
) -> Iterator[Server]:
    """A server of this checkout in a profile, on free ports; stopped at exit.

    Args:
        profile: of `python -m server`.
        models: ensembles to load; empty for all.
        arguments: further ones of `python -m server`.
        log: takes its output; None leaves its messages on stderr.
        settings: variables of its environment.

    Raises:
        StartError: it ends, or does not become ready.
    """
    port, http, grpc, metrics = free_ports(4)
    command = [sys.executable, "-m", "server", "--profile", profile, "--port", str(port)]
    command += ["--http-port", str(http), "--grpc-port", str(grpc), "--metrics-port", str(metrics), *arguments]
    command += [word for model in models for word in ("--model", model)]
    url = f"http://127.0.0.1:{port}"
    with running(f"profile {profile}", command, lambda: _ready(f"{url}/health/ready"), log, settings) as pid:
        yield Server(f"profile {profile}", pid, url, f"127.0.0.1:{grpc}", profile)


@contextmanager
def running(
    name: str,
    command: Sequence[str],
    is_ready: Callable[[], bool],
    log: Path | None = None,
    settings: Mapping[str, str] | None = None,
) -> Iterator[int]:
    """A process, from ready to stopped; yields its id.

    Raises:
        StartError: it ends, or does not become ready.
    """
    with ExitStack() as stack:
        output = stack.enter_context(log.open("wb")) if log else subprocess.DEVNULL
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output if log else None,
            env={**os.environ, **(settings or {})},
            start_new_session=True,  # Ctrl-C is ours: they are stopped in order
            preexec_fn=_die_with_parent,  # noqa: PLW1509 — calls one system call, and we hold no lock
        )
        stack.callback(_stop, Host(name, process.pid), process)
        deadline = monotonic() + _START_TIMEOUT_S
        while not is_ready():
            if process.poll() is not None or monotonic() > deadline:
                raise StartError(f"{name} could not be started; {_said(log)}")
            sleep(0.25)
        yield process.pid


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _stop(host: Host, process: subprocess.Popen[bytes]) -> None:
    host.resume()
    children = host.processes()[1:]
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()


def _ready(url: str) -> bool:
    try:
        return httpx.get(url, timeout=_ANSWER_TIMEOUT_S).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _said(log: Path | None) -> str:
    if log is None:
        return "its messages are above"
    with suppress(OSError):
        return f"{log} ends with:\n{log.read_text(errors='replace')[-_LOG_TAIL:].strip()}"
    return "it said nothing"


def _die_with_parent() -> None:
    """Runs in the new process: SIGTERM should we be killed."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
