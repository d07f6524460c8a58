"""Several worker processes behind one listening socket: started, started again, drained."""

import ctypes
import logging
import os
import signal
import socket
import time
from multiprocessing import connection, get_context
from multiprocessing.context import SpawnProcess
from tempfile import TemporaryDirectory
from types import FrameType

from prometheus_client.multiprocess import mark_process_dead
from uvicorn.config import STARTUP_FAILURE

from gateway.http_server import server
from gateway.observability import logs
from gateway.observability.metrics import FOLDER_VARIABLE
from gateway.settings import Settings

_log = logging.getLogger(__name__)
_PR_SET_PDEATHSIG = 1
_POLL_S = 0.2
# What a worker needs beyond its time for requests: the trace exporter, the threads.
_CLOSING_S = 5.0
_STABLE_S = 60.0
_MAX_PAUSE_S = 30.0


def serve_workers(settings: Settings) -> int:
    """Serve with `settings.workers` processes until SIGTERM or SIGINT; return the exit status.

    Raises:
        SystemExit: the address cannot be listened at; the reason is in the log.
    """
    config = server.make_config(settings, None)
    listener = config.bind_socket()
    listener.listen(config.backlog)  # what comes before the workers are there waits for them
    with TemporaryDirectory(prefix="sod-metrics-") as folder:
        os.environ[FOLDER_VARIABLE] = folder  # before a worker imports the metrics
        try:
            return _Workers(settings, listener, folder).run()
        finally:
            del os.environ[FOLDER_VARIABLE]


class _Worker:
    """One of them, in its successive processes."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: SpawnProcess | None = None
        self.start_at = 0.0
        self._pause = 0.0
        self._last_end = float("-inf")

    def schedule(self) -> float:
        """Plan the next start: at once, later while ends follow each other within a minute; return the pause."""
        now = time.monotonic()
        recent = now - self._last_end < _STABLE_S
        self._pause = min(max(1.0, 2 * self._pause), _MAX_PAUSE_S) if recent else 0.0
        self._last_end, self.start_at = now, now + self._pause
        return self._pause


class _Workers:
    def __init__(self, settings: Settings, listener: socket.socket, metrics_folder: str) -> None:
        self._settings = settings
        self._listener = listener
        self._metrics_folder = metrics_folder
        self._workers = [_Worker(number + 1) for number in range(settings.workers)]
        self._stops = server.StopRequests()
        self._insisted = False
        self._failed = False

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        try:
            while not self._stops.any and not self._failed:
                self._start_due()
                self._wait()
                self._reap()
            self._drain()
        finally:
            for process in self._alive():
                process.kill()
                process.join()
            server.ignore_stops()
        return 1 if self._failed or self._insisted else 0

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._insisted = self._stops.insists() or self._insisted

    def _start_due(self) -> None:
        for worker in self._workers:
            if worker.process is None and time.monotonic() >= worker.start_at:
                arguments = (self._settings, self._listener, os.getpid())
                worker.process = get_context("spawn").Process(target=_work, args=arguments)
                worker.process.start()

    def _reap(self) -> None:
        for worker in self._workers:
            process = worker.process
            if process is None or process.exitcode is None:
                continue
            worker.process = None
            if process.pid is not None:
                mark_process_dead(process.pid, self._metrics_folder)  # type: ignore[no-untyped-call]
            if process.exitcode == STARTUP_FAILURE:
                _log.error("worker %d cannot start", worker.number)
                self._failed = True
                return
            if not self._stops.any:
                _log.warning(
                    "worker %d ended with %s; starting it again in %.0f s",
                    worker.number,
                    _reason(process.exitcode),
                    worker.schedule(),
                )

    def _drain(self) -> None:
        # Ours would keep clients waiting at a door behind which nobody is left.
        self._listener.close()
        for process in self._alive():
            process.terminate()
        deadline = time.monotonic() + self._settings.drain_delay + self._settings.shutdown_timeout + _CLOSING_S
        while self._alive() and time.monotonic() < deadline and not self._insisted:
            self._wait()

    def _alive(self) -> list[SpawnProcess]:
        return [w.process for w in self._workers if w.process is not None and w.process.is_alive()]

    def _wait(self) -> None:
        """Until a process ends, or it is time to look around."""
        alive = self._alive()
        if alive:
            connection.wait([process.sentinel for process in alive], _POLL_S)
        else:
            time.sleep(_POLL_S)


def _work(settings: Settings, listener: socket.socket, parent: int) -> None:
    """What a worker process runs."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before we asked to be told
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, and it decides
    logs.configure(settings.log_level, settings.log_format)
    server.serve(settings, listener, worker=True)


def _reason(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
