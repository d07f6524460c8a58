"""Start a process, wait until it is ready, and stop it: for benchmarks and tests that need a server of their own."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

_POLL_S = 0.1
_LOG_TAIL = 2000  # characters of the log that an error quotes
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class StartError(Exception):
    """A process ended or did not become ready in time. The message quotes the end of its log."""


def server_command(ports: Sequence[int], *options: str) -> list[str]:
    """Command line of this checkout's server.

    Args:
        ports: of the gateway, and Triton's for HTTP, gRPC and metrics.
        options: further ones of `python -m server`.
    """
    port, http, grpc, metrics = map(str, ports)
    command = [sys.executable, "-m", "server", "--port", port, "--http-port", http, "--grpc-port", grpc]
    return [*command, "--metrics-port", metrics, *options]


@contextmanager
def launched(  # noqa: PLR0913 - what a process needs, by name
    name: str,
    command: Sequence[str],
    is_ready: Callable[[], bool],
    *,
    log: Path | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    start_timeout_s: float = 600.0,
    stop_timeout_s: float = 60.0,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process in a session of its own; it is ready at entry and has ended at exit.

    Ctrl-C in the terminal does not reach the process, so that the caller decides the order in which servers stop. If
    the caller is killed, the process receives SIGTERM.

    Args:
        name: for error messages.
        command: command line.
        is_ready: called until it returns True.
        log: file for stdout and stderr; None discards stdout and shows stderr.
        environ: variables that are added to this process's environment.
        folder: working directory; None keeps this process's.
        start_timeout_s: seconds within which it must be ready.
        stop_timeout_s: seconds between SIGTERM and SIGKILL.

    Raises:
        StartError: it ends, or is not ready in time.
    """
    with ExitStack() as stack:
        output = stack.enter_context(log.open("wb")) if log else None
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output or subprocess.DEVNULL,
            stderr=output,
            env={**os.environ, **(environ or {})},
            start_new_session=True,
            preexec_fn=_terminate_with_parent,  # noqa: PLW1509 - makes one system call and takes no lock
        )
        stack.callback(_stop, process, stop_timeout_s)
        deadline = time.monotonic() + start_timeout_s
        while not is_ready():
            if (code := process.poll()) is not None:
                raise StartError(f"{name} ended with exit code {code} while starting; {_log_tail(log)}")
            if time.monotonic() > deadline:
                raise StartError(f"{name} was not ready within {start_timeout_s:g} s; {_log_tail(log)}")
            time.sleep(_POLL_S)
        yield process


def free_ports(count: int) -> list[int]:
    """Loopback ports on which no process listens."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _stop(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    """Send SIGTERM and wait; then kill what is left of the process and its group."""
    if process.poll() is None:
        process.terminate()
        _signal_group(process, signal.SIGCONT)  # a process that SIGSTOP holds handles SIGTERM only when it continues
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout_s)
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _log_tail(log: Path | None) -> str:
    if log is None:
        return "its messages are above"
    return f"{log} ends with:\n{log.read_text(errors='replace')[-_LOG_TAIL:].strip()}"


def _terminate_with_parent() -> None:
    """Runs in the new process: ask the kernel for SIGTERM when the parent dies."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
