"""Liveness of Triton: of its process, and of the process of each Python stage.

Triton 24.10 stays live and ready when a stage's process has died (triton-inference-server/server#8604), so the stages
are looked at directly: a dead one stays a zombie, because Triton does not ask for its exit status until it unloads it.
"""

from dataclasses import dataclass

from server.process.procfs import STOPPED, ZOMBIE, ProcessStatus, read_status
from server.supervision.exit_reason import exit_reason
from server.supervision.periodic import Periodic
from server.supervision.process_states import ChildStatuses, StateTimer
from server.triton.process import TritonProcess

_PROBE_TIMEOUT_S = 2.0
_PROBE_PAUSE_S = 2.0
_STARTING_PAUSE_S = 0.25
_LOOK_EVERY_S = 0.2
_STOPPED_S = 1.0
# A stage that died stays a zombie. An unload ends a stage's process too, but that process exits by itself, without a
# signal, and Triton waits for it, on a busy machine after some time.
_KILLED_ZOMBIE_S = 0.3
_EXITED_ZOMBIE_S = 5.0
_SILENT_S = 12.0
_STUB = "triton_python_b"  # as the kernel cuts the program's name off


@dataclass(frozen=True, slots=True)
class TritonProblem:
    """Why Triton must be started anew.

    Attributes:
        text: what is wrong, to follow its name.
        stage: the model whose process died while it was loaded; empty otherwise.
        too_slow: nothing is wrong but that it took longer to start than it may.
    """

    text: str
    stage: str = ""
    too_slow: bool = False


class TritonWatch:
    """Tells when Triton has to be replaced.

    Args:
        triton: the process.
        start_timeout_s: seconds that loading may take.
    """

    def __init__(self, triton: TritonProcess, start_timeout_s: float) -> None:
        self._triton = triton
        self._start_timeout_s = start_timeout_s
        self._states = StateTimer()
        self._probe: Periodic[bool] | None = None
        self._stages: dict[int, str] = {}
        self._children = ChildStatuses()
        self._started_at = 0.0
        self._looked_at = 0.0
        self._alive_at: float | None = None

    def begin(self, now: float) -> None:
        """The process has just been started."""
        self.close()
        self._probe = Periodic(
            lambda: self._triton.is_live(_PROBE_TIMEOUT_S),
            lambda outcome: _PROBE_PAUSE_S if outcome.value else _STARTING_PAUSE_S,
        )
        self._states = StateTimer()
        self._stages = {}
        self._started_at, self._looked_at, self._alive_at = now, 0.0, None

    def close(self) -> None:
        """Probe no more."""
        if self._probe is not None:
            self._probe.close()
            self._probe = None

    @property
    def is_live(self) -> bool:
        """Whether it has answered since its start: all its models are loaded, or have failed to load."""
        return self._alive_at is not None

    def pardon(self, now: float) -> None:
        """Count from now: the launcher itself was held up."""
        self._states.pardon(now)
        if self._alive_at is not None:
            self._alive_at = now

    def problem(self, now: float) -> TritonProblem | None:
        """Why Triton must be started anew; None while it need not."""
        if (code := self._triton.exit_code()) is not None:
            return TritonProblem(f"ended with {exit_reason(code)}")
        last = self._probe.last if self._probe is not None else None
        if last is not None and last.value:
            self._alive_at = max(self._alive_at or 0.0, last.asked_at)
        if now - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = now
            if found := self._look(now):
                return found
        if self._alive_at is None:
            if now - self._started_at > self._start_timeout_s:
                return TritonProblem(f"was not ready within {self._start_timeout_s:.0f} s", too_slow=True)
            return None
        return self._silence(now)

    def _look(self, now: float) -> TritonProblem | None:
        """Look at the states of the server and its stages."""
        server = read_status(self._triton.pid)
        if server is None:
            return None
        stages = self._children.read(server.pid, now, anew=not self.is_live)
        self._learn_names(stages)
        self._states.update([server, *stages], now)
        for status in stages:
            time_s = _KILLED_ZOMBIE_S if status.exit_signal else _EXITED_ZOMBIE_S
            if status.name == _STUB and status.pid in self._states.in_state(ZOMBIE, time_s, now):
                name = self._stages.get(status.pid, "")
                return TritonProblem(f"has lost the process of {name or 'a stage'}", "" if self.is_live else name)
        for pid in self._states.in_state(STOPPED, _STOPPED_S, now):
            if pid == server.pid:
                return TritonProblem("is stopped (SIGSTOP)")
            return TritonProblem(f"has a stopped process (SIGSTOP), of {self._stages.get(pid, 'a stage')}")
        return None

    def _learn_names(self, stages: list[ProcessStatus]) -> None:
        for status in stages:
            if status.pid not in self._stages and (name := self._triton.stage_of(status.pid)):
                self._stages[status.pid] = name

    def _silence(self, now: float) -> TritonProblem | None:
        silent_s = now - (self._alive_at or now)
        if silent_s > _SILENT_S:
            return TritonProblem(f"has not answered /v2/health/live for {silent_s:.0f} s")
        return None
