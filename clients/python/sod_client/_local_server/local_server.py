"""Runs a local server: triton-sod's launcher in a child process, for as long as a pipeline exists."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO

import httpx

from sod_client._local_server.device import Placement
from sod_client.errors import DependencyError, LocalServerError

_PROGRAM = Path(__file__).with_name("server_process.py")
_POLL_S = 0.1
_CHECK_S = 60.0  # a readiness check runs an inference, and the first one is slow
_STOP_S = 30.0
_ATTEMPTS = 3  # another process may take a free port before the server listens on it
_PORT_TAKEN = "cannot listen on"  # in the launcher's message
_LAST_LINES = 5


class LocalServer:
    """A server on free loopback ports. It runs from `__init__` until `close`, or until this process ends.

    Args:
        placement: where the detectors run.
        model: name of the only model to load; None loads all models of the repository.
        repository: the model repository; None is the installed one.

    Raises:
        DependencyError: triton-sod is not installed.
        LocalServerError: the server does not start.
    """

    def __init__(self, placement: Placement, model: str | None, repository: Path | None = None) -> None:
        if not tuple(entry_points(group="sod.commands", name="serve")):
            raise DependencyError(
                "no server address is given (url=, or SOD_URL), and triton-sod, which would start a local server, is "
                "not installed: `make serve` in a checkout of triton-sod installs it"
            )
        for attempt in range(_ATTEMPTS):
            try:
                self._start(placement, model, repository)
                return
            except LocalServerError as error:
                if _PORT_TAKEN not in str(error) or attempt == _ATTEMPTS - 1:
                    raise

    def close(self) -> None:
        """Stop the server."""
        self._finalizer()

    def _start(self, placement: Placement, model: str | None, repository: Path | None) -> None:
        port, *triton = _free_ports(4)
        options = ["--host", "127.0.0.1", "--port", str(port), *(["--model", model] if model else [])]
        for service, number in zip(("http", "grpc", "metrics"), triton, strict=True):
            options += [f"--{service}-port", str(number)]
        if repository is not None:
            options += ["--model-repository", str(repository)]
        if placement.profile:
            options += ["--profile", placement.profile]
        if placement.device:
            options += ["--device", placement.device]
        with ExitStack() as undo:
            log = undo.enter_context(tempfile.TemporaryFile())
            process = _spawn(options, placement, log)
            self._finalizer = weakref.finalize(self, _stop, process, log, os.getpid())
            undo.callback(self._finalizer)
            self.url = f"http://127.0.0.1:{port}"
            client = undo.enter_context(httpx.Client(trust_env=False, timeout=_CHECK_S))
            while not _is_ready(client, self.url):
                if process.poll() is not None:
                    raise LocalServerError(f"the local server did not start: {_reason(log)}")
                time.sleep(_POLL_S)
            client.close()
            undo.pop_all()


def _spawn(options: Sequence[str], placement: Placement, log: IO[bytes]) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, **placement.environment}
    environment.pop("SOD_MODEL", None)  # the pipeline names the model in its requests
    environment["PYTHONSAFEPATH"] = "1"  # the working directory may contain a module named `server`
    return subprocess.Popen(
        [sys.executable, str(_PROGRAM), *options],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C reaches this process only, which then stops the server
    )


def _is_ready(client: httpx.Client, url: str) -> bool:
    """Whether the server is ready for images."""
    try:
        return client.get(f"{url}/health/ready").status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _stop(process: "subprocess.Popen[bytes]", log: IO[bytes], owner: int) -> None:
    if os.getpid() != owner:  # a fork of the process that started the server
        return
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()
    log.close()


def _reason(log: IO[bytes]) -> str:
    """The launcher's error message, or the last lines of its output."""
    log.seek(0)
    lines = [line for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()]
    messages = [line.removeprefix("triton-sod: ") for line in lines if line.startswith("triton-sod: ")]
    if not messages:
        return " | ".join(lines[-_LAST_LINES:]) or "it printed nothing"
    return " ".join([messages[-1], *lines[lines.index(f"triton-sod: {messages[-1]}") + 1 :]])


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
