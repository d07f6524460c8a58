"""Several worker processes that share one listening socket.

uvicorn's own supervisor (`uvicorn.supervisors.Multiprocess`) is not used. A thread of the worker answers its health
check, so it does not replace a worker whose event loop hangs (tests/gateway/http_server/test_uvicorn.py shows it).
It also restarts crashing workers without a pause, and cannot be stopped while it waits for a worker to end.
"""

import ctypes
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from ctypes import c_double
from multiprocessing import connection, get_context
from multiprocessing.context import SpawnProcess
from multiprocessing.sharedctypes import RawValue
from tempfile import TemporaryDirectory
from types import FrameType

import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.config import STARTUP_FAILURE

from gateway.http_server.server import StopSignals, ignore_stop_signals, stop_signals
from gateway.observability.metrics import FOLDER_VARIABLE

_log = logging.getLogger(__name__)
_PR_SET_PDEATHSIG = 1
_POLL_S = 0.2
_STARTUP_S = 120.0  # time for imports and the start of the application, before the first heartbeat
_STABLE_S = 60.0
_MAX_RESTART_DELAY_S = 30.0

Target = Callable[[socket.socket, c_double], None]


def serve_workers(
    target: Target, config: uvicorn.Config, *, count: int, worker_timeout: float, stop_timeout: float
) -> int:
    """Run worker processes until one of the `stop_signals`; return the exit status.

    Args:
        target: Serves in a worker process, with a `GatewayServer`, until SIGTERM. It gets the listening socket and the
            server's heartbeat, and must be picklable.
        config: Where to listen.
        count: Number of workers.
        worker_timeout: A worker whose event loop has not run for this many seconds is killed and replaced.
        stop_timeout: Seconds that the workers may take to stop; then they are killed.

    Raises:
        SystemExit: The address cannot be bound; the reason is in the log.
    """
    listener = config.bind_socket()
    listener.listen(config.backlog)  # connections that arrive before the workers are ready wait here
    with TemporaryDirectory(prefix="sod-metrics-") as folder:
        os.environ[FOLDER_VARIABLE] = folder  # before a worker imports the metrics
        try:
            workers = [_Worker(number + 1, target, listener, folder) for number in range(count)]
            return _Supervisor(workers, listener, worker_timeout, stop_timeout).run()
        finally:
            del os.environ[FOLDER_VARIABLE]


class _Worker:
    """One worker and its successive processes."""

    def __init__(self, number: int, target: Target, listener: socket.socket, metrics_folder: str) -> None:
        self.number = number
        self.process: SpawnProcess | None = None
        self._target = target
        self._listener = listener
        self._metrics_folder = metrics_folder
        self._heartbeat = RawValue(c_double)
        self._start_at = 0.0
        self._delay = 0.0
        self._last_end = float("-inf")

    def start_if_due(self) -> None:
        if self.process is None and time.monotonic() >= self._start_at:
            self._heartbeat.value = time.monotonic() + _STARTUP_S
            arguments = (self._target, self._listener, self._heartbeat, os.getpid())
            self.process = get_context("spawn").Process(target=_run_worker, args=arguments)
            self.process.start()

    def kill_if_hung(self, timeout: float) -> None:
        if self.process is not None and time.monotonic() - self._heartbeat.value > timeout:
            _log.error("worker %d has not responded for %.0f s; killing it", self.number, timeout)
            self.process.kill()
            self.process.join()

    def reap(self) -> int | None:
        """The exit code if the process has ended since the last call."""
        if self.process is None or (code := self.process.exitcode) is None:
            return None
        if self.process.pid is not None:
            mark_process_dead(self.process.pid, self._metrics_folder)  # type: ignore[no-untyped-call]
        self.process = None
        return code

    def schedule_restart(self) -> float:
        """Restart at once, or after 1, 2, 4, … 30 s if it ended repeatedly within a minute; return the delay."""
        now = time.monotonic()
        repeated = now - self._last_end < _STABLE_S
        self._delay = min(max(1.0, 2 * self._delay), _MAX_RESTART_DELAY_S) if repeated else 0.0
        self._last_end, self._start_at = now, now + self._delay
        return self._delay


class _Supervisor:
    def __init__(
        self, workers: list[_Worker], listener: socket.socket, worker_timeout: float, stop_timeout: float
    ) -> None:
        self._workers = workers
        self._listener = listener
        self._worker_timeout = worker_timeout
        self._stop_timeout = stop_timeout
        self._stops = StopSignals()
        self._forced = False

    def run(self) -> int:
        failed = False
        for number in stop_signals():
            signal.signal(number, self._on_signal)
        try:
            while not self._stops.received and not failed:
                for worker in self._workers:
                    worker.start_if_due()
                self._wait()
                failed = any(self._check(worker) for worker in self._workers)
            self._stop()
        finally:
            for process in self._running():
                process.kill()
                process.join()
            ignore_stop_signals()
        return 1 if failed or self._forced else 0

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._forced = self._stops.record() or self._forced

    def _check(self, worker: _Worker) -> bool:
        """Replace a worker that hangs or has ended; True if its application cannot start."""
        worker.kill_if_hung(self._worker_timeout)
        code = worker.reap()
        if code == STARTUP_FAILURE:
            _log.error("worker %d cannot start", worker.number)
            return True
        if code is not None and not self._stops.received:
            reason = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
            delay = worker.schedule_restart()
            _log.warning("worker %d ended with %s; restarting it in %.0f s", worker.number, reason, delay)
        return False

    def _stop(self) -> None:
        # While this process kept listening, the system would accept connections that no worker serves.
        self._listener.close()
        for process in self._running():
            process.terminate()
        deadline = time.monotonic() + self._stop_timeout
        while self._running() and time.monotonic() < deadline and not self._forced:
            self._wait()

    def _running(self) -> list[SpawnProcess]:
        return [w.process for w in self._workers if w.process is not None and w.process.is_alive()]

    def _wait(self) -> None:
        """Wait until a process ends, or for the poll interval."""
        running = self._running()
        if running:
            connection.wait([process.sentinel for process in running], _POLL_S)
        else:
            time.sleep(_POLL_S)


def _run_worker(target: Target, listener: socket.socket, heartbeat: c_double, parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # the parent ended before the call above
        return
    for number in (signal.SIGINT, signal.SIGHUP):  # from a terminal they reach the parent too, which decides
        signal.signal(number, signal.SIG_IGN)
    target(listener, heartbeat)
