"""Servers for a measurement, which are paused while others are measured."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from server.launching import free_ports, launched, server_command
from server.ready import is_ready


@dataclass(frozen=True, slots=True)
class ProcessTree:
    """A process with all its descendants, which can be paused.

    Attributes:
        name: for messages.
        pid: process id of the ancestor.
    """

    name: str
    pid: int

    def processes(self) -> list[psutil.Process]:
        """The process and all its descendants; empty if it has ended."""
        try:
            process = psutil.Process(self.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def pause(self) -> None:
        """Stop it by SIGSTOP, parents first, so that its health checks and idle threads take no processor time."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue it by SIGCONT."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                if self._may_pause(process):
                    process.send_signal(number)

    def _may_pause(self, process: psutil.Process) -> bool:  # noqa: ARG002 - a subclass looks at it
        return True


@dataclass(frozen=True, slots=True)
class Server(ProcessTree):
    """The launcher, with Triton and the gateway as its child processes.

    Attributes:
        url: address of the gateway.
        grpc: Triton's gRPC address, host:port.
        profile: in which the detectors run.
    """

    url: str
    grpc: str
    profile: str

    def _may_pause(self, process: psutil.Process) -> bool:
        # Triton and its Python stubs check each other over locks with a time limit and end when one is paused. Without
        # the checks of the launcher and the gateway they are idle.
        return not any("triton" in Path(word).name for word in process.cmdline()[:1])


@contextmanager
def started(
    profile: str, models: Sequence[str] = (), arguments: Sequence[str] = (), log: Path | None = None, **settings: str
) -> Iterator[Server]:
    """Start this checkout's server on free ports; it is stopped at exit, even if it is paused then.

    Args:
        profile: of `python -m server`.
        models: ensembles to load; empty for all.
        arguments: further ones of `python -m server`.
        log: file for its output; None shows its messages on stderr.
        settings: environment variables.

    Raises:
        server.launching.StartError: it ends, or is not ready in time.
    """
    ports = free_ports(4)
    options = ["--profile", profile, *arguments, *(word for model in models for word in ("--model", model))]
    url = f"http://127.0.0.1:{ports[0]}"
    with launched(
        f"profile {profile}", server_command(ports, *options), lambda: is_ready(url), log=log, environ=settings
    ) as process:
        server = Server(f"profile {profile}", process.pid, url, f"127.0.0.1:{ports[2]}", profile)
        try:
            yield server
        finally:
            server.resume()


@contextmanager
def named_or_started(url: str | None, profile: str, model: str, log: Path) -> Iterator[str]:
    """The address of a gateway: of the one that is named, or of one that is started for the measurement.

    Args:
        url: of a running gateway; None starts one.
        profile: see `started`.
        model: the only ensemble that is loaded.
        log: see `started`.

    Raises:
        server.launching.StartError: it does not start.
    """
    if url is not None:
        yield url
        return
    with started(profile, [model], log=log) as server:
        yield server.url
