"""A child process in a session of its own, which is ended together with all that it started."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread

from server.process.output import Output
from server.process.procfs import STOPPED, ZOMBIE, child_pids, read_status
from server.process.relay import RepeatLimit, relay

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_AFTER_KILL_S = 2.0  # a process that cannot be killed (an uninterruptible wait) is not waited for longer
_libc = ctypes.CDLL(None)
_managed: set[int] = set()  # process ids whose exit status a ManagedProcess reads


class ManagedProcess:
    """A process that ends when the launcher does.

    Its output is read to the end whether or not anybody reads the launcher's.

    Args:
        name: for messages.
        source: the logger that JSON lines of its output name.
        command: command line.
        environ: its whole environment.
        output: takes its output.
        limit_repeats: show one of several like lines in ten seconds.
        keep_open: file descriptors that it inherits.
        folder: its working directory; None is the launcher's.
    """

    def __init__(  # noqa: PLR0913 — the properties of a process, by name
        self,
        name: str,
        command: Sequence[str],
        environ: Mapping[str, str],
        output: Output,
        *,
        source: str,
        limit_repeats: bool = False,
        keep_open: Sequence[int] = (),
        folder: Path | None = None,
    ) -> None:
        self.name = name
        self._command = list(command)
        self._environ = dict(environ)
        self._output = output
        self._source = source
        self._limit_repeats = limit_repeats
        self._keep_open = tuple(keep_open)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it. Ctrl-C in the terminal reaches the launcher only, which chooses the order of the stop."""
        reader, writer = os.pipe()
        try:
            self._process = subprocess.Popen(
                self._command,
                env=self._environ,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=writer,
                start_new_session=True,
                pass_fds=self._keep_open,
                preexec_fn=_in_the_child,  # noqa: PLW1509 — two system calls, no lock
            )
        finally:
            os.close(writer)
        _managed.add(self._process.pid)
        limit = RepeatLimit() if self._limit_repeats else None
        Thread(
            target=relay,
            args=[reader, self._source, self._output, self.shows, limit],
            daemon=True,
            name=f"output of {self.name}",
        ).start()

    def shows(self, line: bytes) -> bool:  # noqa: ARG002 — a subclass looks at it
        """Whether a line of its output is passed on."""
        return True

    @property
    def pid(self) -> int:
        """Process id of the last start.

        Raises:
            RuntimeError: it has not been started.
        """
        if self._process is None:
            raise RuntimeError(f"{self.name} has not been started")
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs; negative for a signal, as in `subprocess`."""
        return None if self._process is None else self._process.poll()

    def stop(self, timeout_s: float) -> None:
        """Ask it to end by SIGTERM; after `timeout_s` seconds, or at once if it is stopped by SIGSTOP, kill it."""
        if self._process is None:
            return
        if self._process.poll() is None:
            status = read_status(self.pid)
            if status is not None and status.state != STOPPED:
                self._process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(timeout_s)
        self.kill()

    def kill_at_once(self) -> None:
        """Kill it and its children and wait for nothing; safe in a signal handler."""
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def kill(self) -> None:
        """Kill it and its children without asking; what cannot be killed is waited for two seconds."""
        if self._process is None:
            return
        deadline = time.monotonic() + _AFTER_KILL_S
        while time.monotonic() < deadline:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:  # nobody is left in the group
                break
            except PermissionError:  # only processes of another user are left
                break
            self._process.poll()
            reap_orphans()
            time.sleep(0.02)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, deadline - time.monotonic()))
            _managed.discard(self._process.pid)


def adopt_orphans() -> None:
    """Become the parent of grandchildren whose parent dies, as PID 1 of a container is anyway: see `reap_orphans`."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)


def reap_orphans() -> None:
    """Take the exit status of adopted children that have ended, or they would stay as zombies."""
    for pid in child_pids(os.getpid()):
        if pid not in _managed and (status := read_status(pid)) is not None and status.state == ZOMBIE:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _in_the_child() -> None:
    """Runs in the new process before its program."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # A hang-up is for the launcher, which drains; a service manager that sends it to all would drop requests.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
