"""Starts Triton and the gateway, watches both, restarts each alone, stops both.

Liveness is a question to one process: does it react, and are its children alive? The answer decides at once whether
this process is replaced. Readiness is a question to both together: is an image answered? A failure decides only after
some patience, and Triton is then asked directly to find out which of the two fails.
"""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

from server.errors import ServerError
from server.process.managed_process import ManagedProcess, adopt_orphans, reap_orphans
from server.process.output import Output
from server.supervision.backoff import Backoff
from server.supervision.gateway_watch import GatewayWatch
from server.supervision.periodic import Outcome
from server.supervision.readiness import ReadinessWatch, Verdict, check
from server.supervision.triton_watch import TritonProblem, TritonWatch
from server.triton.api import TritonApiError
from server.triton.process import Served, TritonProcess

_POLL_S = 0.1
_REAP_EVERY_S = 1.0
# Seconds that each may take to end beyond the time that it has for requests.
_GATEWAY_CLOSING_S = 5.0
_TRITON_CLOSING_S = 3.0
# One stop may come as several signals: a service manager sends it to every process, and make passes its own on.
_SAME_STOP_S = 1.0
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_HELD_UP_S = 2.0
_FIRST_PROGRESS_S = 10.0
_PROGRESS_EVERY_S = 30.0


@dataclass(slots=True)
class _Child:
    """A process and its restarts.

    Attributes:
        process: started, or to be started at `start_at`.
        start_at: monotonic time of a restart that is due; None while it runs.
        failed_at: monotonic time at which its last failure was found.
        backoff: pauses before restarts.
    """

    process: ManagedProcess
    start_at: float | None = None
    failed_at: float | None = None
    backoff: Backoff = field(default_factory=Backoff)


class Supervisor:
    """Two children and the rules that keep them alive.

    Args:
        triton: the inference server.
        gateway: the process that answers HTTP.
        url: the gateway's, on this machine.
        output: for messages.
        start_timeout_s: seconds that both may take until an image is answered.
        unready_restart_s: seconds without a passed inference after which the process that fails is started anew,
            although both are live.
        drain_s: seconds that the gateway may take to answer what is under way when it is stopped.
    """

    def __init__(  # noqa: PLR0913 — two children and the times that hold for them, by name
        self,
        triton: TritonProcess,
        gateway: ManagedProcess,
        *,
        url: str,
        output: Output,
        start_timeout_s: float,
        unready_restart_s: float,
        drain_s: float,
    ) -> None:
        self._triton_process = triton
        self._triton = _Child(triton)
        self._gateway = _Child(gateway)
        self._output = output
        self._start_timeout_s = start_timeout_s
        self._unready_restart_s = unready_restart_s
        self._drain_s = drain_s
        self._triton_watch = TritonWatch(triton, start_timeout_s)
        self._gateway_watch = GatewayWatch(gateway, url, drain_s, output)
        self._served = Served((), {})
        self._readiness = ReadinessWatch(
            lambda: check(url, triton.api, lambda: self._served.ready), unready_restart_s / 2
        )
        self._was_ready = False
        self._unready_since: float | None = None
        self._gateway_blamed = False
        self._started_at = 0.0
        self._reaped_at = 0.0
        self._next_progress = 0.0
        self._stop_signal: signal.Signals | None = None
        self._stopped_at = 0.0

    def run(self, on_ready: Callable[[Served], None]) -> None:
        """Serve until SIGINT, SIGTERM or SIGHUP; returns when both are gone. A second signal kills both at once.

        SIGHUP stays ignored where it was (nohup).

        Args:
            on_ready: called once, after the first inference.

        Raises:
            ServerError: a process ended, or nothing was ready, before the first inference passed.
        """
        numbers = [number for number in _STOPS if signal.getsignal(number) != signal.SIG_IGN or number != signal.SIGHUP]
        for number in numbers:
            signal.signal(number, self._on_signal)
        adopt_orphans()
        try:
            self._started_at = time.monotonic()
            self._start_triton()
            self._start_gateway()
            last_tick = time.monotonic()
            while self._stop_signal is None:
                now = time.monotonic()
                if now - last_tick > _HELD_UP_S:  # SIGSTOP or a suspended machine: the children were not late
                    self._triton_watch.pardon(now)
                    self._gateway_watch.pardon(now)
                    self._unready_since = None
                last_tick = now
                self._tick(now, on_ready)
                time.sleep(_POLL_S)
            self._output.announce(
                f"\n{self._stop_signal.name}: stopping", message=f"{self._stop_signal.name}: stopping"
            )
        finally:
            self._stop()
            for number in numbers:  # nothing is left that a signal could hurry, only folders to be removed
                signal.signal(number, signal.SIG_IGN)

    def _tick(self, now: float, on_ready: Callable[[Served], None]) -> None:
        if now - self._reaped_at >= _REAP_EVERY_S:
            self._reaped_at = now
            reap_orphans()
        for child, start in ((self._triton, self._start_triton), (self._gateway, self._start_gateway)):
            if child.start_at is not None and now >= child.start_at:
                start()
        if self._triton.start_at is None and (problem := self._triton_watch.problem(now)) is not None:
            self._on_triton_problem(problem)
        if self._gateway.start_at is None and (text := self._gateway_watch.problem(now)):
            self._replace(self._gateway, text, now)
        both_live = (
            self._triton.start_at is None
            and self._gateway.start_at is None
            and self._triton_watch.is_live
            and self._gateway_watch.is_live
        )
        if not both_live:
            self._readiness.close()
            self._unready_since = None
        elif not self._readiness.is_running:
            self._note_served()
            if self._served.ready:
                self._readiness.begin()
        elif (outcome := self._readiness.new_outcome()) is not None:
            self._on_readiness(outcome, now, on_ready)
        if self._triton.start_at is None and not (self._was_ready and self._triton_watch.is_live):
            self._tell_progress(now)
        if not self._was_ready and now - self._started_at > self._start_timeout_s:
            raise ServerError(
                f"no inference has passed within {self._start_timeout_s:.0f} s: Triton's messages are above; a slower "
                "machine needs a longer --start-timeout"
            )

    def _on_triton_problem(self, problem: TritonProblem) -> None:
        if not self._was_ready and problem.too_slow:
            raise ServerError(f"Triton {problem.text}; its messages are above")
        if problem.stage:
            self._triton_process.note_crash(problem.stage)
        self._replace(self._triton, problem.text, time.monotonic())

    def _on_readiness(self, outcome: Outcome[Verdict], now: float, on_ready: Callable[[Served], None]) -> None:
        verdict = outcome.value
        if verdict.ready:
            self._unready_since, self._gateway_blamed = None, False
            if verdict.states is not None:
                self._triton_process.note_ready(verdict.states)
            if not self._was_ready:
                self._was_ready = True
                on_ready(self._served)
            for child in (self._triton, self._gateway):
                if child.failed_at is not None:
                    took = now - child.failed_at
                    child.failed_at = None
                    self._output.log(
                        "INFO", f"images are answered again, {took:.1f} s after {child.process.name} failed"
                    )
            return
        self._unready_since = self._unready_since or outcome.asked_at
        if not self._was_ready:  # the start has its own deadline
            return
        waited = now - self._unready_since
        if verdict.triton_problem:
            if verdict.stage_is_dead or waited > self._unready_restart_s:
                self._replace(self._triton, f"answers no image: {verdict.triton_problem}", now)
        elif not self._gateway_blamed and waited > max(self._unready_restart_s, self._drain_s + _GATEWAY_CLOSING_S):
            # Once: what a new gateway does not mend lies elsewhere, such as a SOD_MODEL that Triton does not have.
            self._gateway_blamed = True
            self._replace(self._gateway, f"has not been ready for {waited:.0f} s, although Triton answers images", now)

    def _replace(self, child: _Child, why: str, now: float) -> None:
        """Kill what is left of a child, and plan its next start."""
        name = child.process.name
        if not self._was_ready and child.process.exit_code() is not None:
            raise ServerError(f"{name} {why} while starting; its messages are above")
        # Its last failure is noted until images are answered again.
        pause = child.backoff.next_pause(now, has_answered=child.failed_at is None)
        child.start_at = now + pause
        child.failed_at = child.failed_at or now
        when = f" in {pause:.0f} s" if pause else ""
        self._output.log("WARNING", f"{name} {why}; starting it again{when}")
        child.process.kill()

    def _start_triton(self) -> None:
        self._triton.start_at = None
        try:
            self._triton_process.start()
        except ServerError as error:
            if not self._was_ready:
                raise
            pause = self._triton.backoff.next_pause(time.monotonic(), has_answered=False)
            self._triton.start_at = time.monotonic() + max(1.0, pause)
            self._output.log("ERROR", f"Triton cannot be started: {error}")
            return
        now = time.monotonic()
        self._triton_watch.begin(now)
        self._next_progress = now + _FIRST_PROGRESS_S

    def _start_gateway(self) -> None:
        self._gateway.start_at = None
        self._gateway.process.start()
        self._gateway_watch.begin(time.monotonic())

    def _note_served(self) -> None:
        """Read which ensembles are ready; after a restart log what has changed.

        Raises:
            ServerError: at the first start none is ready.
        """
        try:
            served = self._triton_process.served(self._triton_process.api.models())
        except TritonApiError:  # the next liveness probe finds it
            return
        before, self._served = self._served, served
        if not served.ready:
            reasons = "".join(f"\n  {name}: {reason}" for name, reason in served.failed.items())
            if not self._was_ready:
                raise ServerError(f"no model can be served:{reasons}")
            if served.failed != before.failed:
                self._output.log("ERROR", f"no model can be served:{reasons}")
            self._replace(self._triton, "has loaded no model", time.monotonic())
        elif not self._was_ready or served.failed != before.failed:
            for name, reason in served.failed.items():
                self._output.log("WARNING", f"{name} is not served: {reason}")

    def _tell_progress(self, now: float) -> None:
        if now < self._next_progress:
            return
        self._next_progress = now + _PROGRESS_EVERY_S
        if self._triton_watch.is_live:
            text = "the models are loaded; waiting for the first image to be answered"
        elif names := self._triton_process.loading():
            text = (
                f"still loading {', '.join(names)}: each network is compiled for this processor or GPU, which takes "
                "seconds for the demo and minutes for a large model on a few cores"
            )
        else:
            text = "Triton is starting"
        seconds = now - (self._triton.failed_at or self._started_at)
        self._output.log("INFO", f"{text} ({seconds:.0f} s)")

    def _stop(self) -> None:
        """End the gateway, which answers what it has, and then Triton."""
        hangs = self._gateway_watch.is_live and self._gateway_watch.problem(time.monotonic()) != ""
        for watch in (self._readiness, self._gateway_watch, self._triton_watch):
            watch.close()
        if hangs:
            self._gateway.process.kill()
        else:
            self._gateway.process.stop(self._drain_s + _GATEWAY_CLOSING_S)
        self._triton.process.stop(_TRITON_CLOSING_S)
        reap_orphans()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._stop_signal is None:
            self._stop_signal = signal.Signals(number)
            self._stopped_at = time.monotonic()
        elif time.monotonic() - self._stopped_at > _SAME_STOP_S:
            for child in (self._gateway, self._triton):
                child.process.kill_at_once()
