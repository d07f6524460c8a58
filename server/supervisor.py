"""Keeps Triton and the gateway running: starts, watches, restarts each alone, stops both."""

import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

from server.child import Child
from server.errors import ServerError
from server.ready import is_ready

_POLL_S = 0.25
_STOP_TIMEOUT_S = 8.0
# One stop may come as several signals: a service manager sends it to every process, and make passes its own on.
_SAME_STOP_S = 1.0
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_READY_EVERY_S = 5.0
# The check is an inference: on a slow model it comes less often, so as to take no more than this share of the time.
_READY_SHARE = 0.05
_STABLE_S = 60.0
_MAX_BACKOFF_S = 30.0


class Supervisor:
    """Two children and the rules that keep them alive.

    A child that exits is started again, after a pause that doubles while it keeps exiting. Triton is also started
    again when no inference has passed for `unready_restart_s` seconds though it runs: a dead Python stub leaves it
    "ready" (triton-inference-server/server#8604).

    Args:
        triton: the server.
        gateway: the process that answers HTTP.
        url: the gateway's, on this machine.
        start_timeout_s: how long both may take to become ready, at first and after a restart.
        unready_restart_s: see above.
        drain_s: how long the gateway may take to answer what is under way when it is stopped.
    """

    def __init__(  # noqa: PLR0913 — two children and the times that hold for them, by name
        self,
        triton: Child,
        gateway: Child,
        *,
        url: str,
        start_timeout_s: float,
        unready_restart_s: float,
        drain_s: float,
    ) -> None:
        self._triton = triton
        self._gateway = gateway
        self._url = url
        self._start_timeout_s = start_timeout_s
        self._unready_restart_s = unready_restart_s
        self._drain_s = drain_s
        self._stopped_at: float | None = None
        self._restarts = {triton.name: _Backoff(), gateway.name: _Backoff()}

    def run(self, on_ready: Callable[[], None]) -> None:
        """Serve until SIGINT or SIGTERM; returns when both are gone. A second signal ends both at once.

        Raises:
            ServerError: a process ended, or nothing was ready, before the first inference passed.
        """
        for number in _STOPS:
            signal.signal(number, self._on_signal)
        try:
            self._triton.start()
            self._gateway.start()
            self._wait_until_ready()
            on_ready()
            self._watch()
        except _StopError as stop:
            print(f"\n{stop}: stopping", file=sys.stderr, flush=True)
        finally:
            # Triton answers what the gateway still has.
            self._gateway.stop(self._drain_s + _STOP_TIMEOUT_S)
            self._triton.stop(_STOP_TIMEOUT_S)
            for number in _STOPS:  # nothing is left that a signal could hurry, only folders to be removed
                signal.signal(number, signal.SIG_IGN)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        while not is_ready(self._url):
            for child in (self._triton, self._gateway):
                if (code := child.exit_code()) is not None:
                    raise ServerError(f"{child.name} ended with {_reason(code)} while starting; its messages are above")
            if time.monotonic() > deadline:
                raise ServerError(
                    f"no inference has passed within {self._start_timeout_s:.0f} s; Triton's messages are above"
                )
            time.sleep(_POLL_S)

    def _watch(self) -> None:
        deadline: float | None = None  # by which an inference must pass, once one has not
        next_check = 0.0
        while True:
            for child in (self._triton, self._gateway):
                if (code := child.exit_code()) is not None:
                    self._restart(child, f"ended with {_reason(code)}")
                    deadline = time.monotonic() + self._start_timeout_s
            if (asked := time.monotonic()) >= next_check:
                pause = min(_READY_EVERY_S, self._unready_restart_s / 2)
                if is_ready(self._url):
                    deadline = None
                    self._triton.note_ready()
                    pause = max(pause, (time.monotonic() - asked) / _READY_SHARE)
                elif deadline is None:
                    deadline = asked + self._unready_restart_s
                elif asked > deadline:
                    self._restart(self._triton, "has passed no inference for too long")
                    deadline = time.monotonic() + self._start_timeout_s
                next_check = time.monotonic() + pause
            time.sleep(_POLL_S)

    def _restart(self, child: Child, why: str) -> None:
        pause = self._restarts[child.name].next_pause()
        print(f"{child.name} {why}; starting it again in {pause:.0f} s", file=sys.stderr, flush=True)
        child.stop(_STOP_TIMEOUT_S)
        time.sleep(pause)
        child.start()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        # Raised, not noted, so that no wait delays the stop.
        if self._stopped_at is None:
            self._stopped_at = time.monotonic()
            raise _StopError(signal.Signals(number).name)
        if time.monotonic() - self._stopped_at > _SAME_STOP_S:
            for child in (self._gateway, self._triton):
                child.kill()


class _StopError(Exception):
    """A signal asked us to stop."""


class _Backoff:
    """Pause before a restart: nothing at first, doubling while restarts follow each other within a minute."""

    def __init__(self) -> None:
        self._pause = 0.0
        self._last = -_STABLE_S

    def next_pause(self) -> float:
        now = time.monotonic()
        recent = now - self._last < _STABLE_S
        self._pause = min(max(1.0, 2 * self._pause), _MAX_BACKOFF_S) if recent else 0.0
        self._last = now
        return self._pause


def _reason(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
