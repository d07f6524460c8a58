"""Liveness of the gateway process: whether it reacts at all, whatever it answers."""

import os
import signal
from collections import deque
from contextlib import suppress

from server.process.managed_process import ManagedProcess
from server.process.output import Output
from server.process.procfs import SLEEPING, STOPPED, ProcessStatus, read_status
from server.ready import Liveness, liveness
from server.supervision.exit_reason import exit_reason
from server.supervision.periodic import Periodic
from server.supervision.process_states import ChildStatuses, StateTimer

_PROBE_TIMEOUT_S = 1.0
_PROBE_PAUSE_S = 1.0
_STARTING_PAUSE_S = 0.25
_LOOK_EVERY_S = 0.2
_STOPPED_S = 1.0
# A gateway that is silent and uses no processor time hangs; one that computes has until the second.
_SILENT_IDLE_S = 3.0
_SILENT_BUSY_S = 15.0
_IDLE_WINDOW_S = 2.0
_IDLE_TICKS = 2  # of 10 ms in that window
_START_S = 60.0
_CLOSING_S = 5.0


class GatewayWatch:
    """Tells when the gateway has to be replaced.

    A worker process of the gateway that is stopped is killed here; the gateway starts another.

    Args:
        gateway: the process.
        url: its address on this machine.
        drain_s: seconds for which it may refuse connections while it answers what is under way.
        output: for messages.
    """

    def __init__(self, gateway: ManagedProcess, url: str, drain_s: float, output: Output) -> None:
        self._gateway = gateway
        self._url = url
        self._drain_s = drain_s
        self._output = output
        self._states = StateTimer()
        self._workers = ChildStatuses()
        self._probe: Periodic[Liveness] | None = None
        self._started_at = 0.0
        self._looked_at = 0.0
        self._alive_at: float | None = None
        self._cpu: deque[tuple[float, int]] = deque()

    def begin(self, now: float) -> None:
        """The process has just been started."""
        self.close()
        self._probe = Periodic(
            lambda: liveness(self._url, _PROBE_TIMEOUT_S),
            lambda outcome: _PROBE_PAUSE_S if outcome.value == "alive" else _STARTING_PAUSE_S,
        )
        self._started_at, self._looked_at, self._alive_at = now, 0.0, None
        self._cpu.clear()
        self._states = StateTimer()

    def close(self) -> None:
        """Probe no more."""
        if self._probe is not None:
            self._probe.close()
            self._probe = None

    @property
    def is_live(self) -> bool:
        """Whether it has answered since its start."""
        return self._alive_at is not None

    def pardon(self, now: float) -> None:
        """Count from now: the launcher itself was held up."""
        self._states.pardon(now)
        self._started_at = now
        if self._alive_at is not None:
            self._alive_at = now

    def problem(self, now: float) -> str:
        """Why the gateway must be started anew; empty while it need not."""
        if (code := self._gateway.exit_code()) is not None:
            return f"ended with {exit_reason(code)}"
        if now - self._looked_at < _LOOK_EVERY_S:
            return ""
        self._looked_at = now
        status = read_status(self._gateway.pid)
        if status is None:
            return ""  # it has just ended; its exit code comes with the next look
        workers = self._workers.read(status.pid, now)
        self._states.update([status, *workers], now)
        for pid in self._states.in_state(STOPPED, _STOPPED_S, now):
            if pid == status.pid:
                return "is stopped (SIGSTOP)"
            self._output.log("WARNING", f"a worker of the gateway (process {pid}) is stopped (SIGSTOP); killing it")
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._note_cpu(now, [status, *workers])
        return self._silence(now, status)

    def _silence(self, now: float, status: ProcessStatus) -> str:
        last = self._probe.last if self._probe is not None else None
        if last is not None and last.value == "alive" and last.answered_at >= self._started_at:
            self._alive_at = max(self._alive_at or 0.0, last.asked_at)
        if self._alive_at is None:
            return f"has not begun to answer within {_START_S:.0f} s" if now - self._started_at > _START_S else ""
        silent_s = now - self._alive_at
        if last is not None and last.value == "refused":  # it drains, or it has just ended
            return "accepts no connections" if silent_s > self._drain_s + _CLOSING_S else ""
        if silent_s > _SILENT_BUSY_S or (silent_s > _SILENT_IDLE_S and status.state == SLEEPING and self._is_idle(now)):
            return f"has not answered /health/live for {silent_s:.0f} s"
        return ""

    def _note_cpu(self, now: float, statuses: list[ProcessStatus]) -> None:
        self._cpu.append((now, sum(status.cpu_ticks for status in statuses)))
        while len(self._cpu) > 2 and self._cpu[1][0] <= now - _IDLE_WINDOW_S:
            self._cpu.popleft()

    def _is_idle(self, now: float) -> bool:
        since, ticks = self._cpu[0]
        return now - since >= _IDLE_WINDOW_S and self._cpu[-1][1] - ticks <= _IDLE_TICKS
