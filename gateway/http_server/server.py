"""The application under uvicorn, in this process: listening, and leaving when asked to."""

import os
import signal
import socket
from time import monotonic
from types import FrameType

import uvicorn

from gateway.app import create_app
from gateway.drain import Drain
from gateway.http_server.connection import HttpConnection, Server
from gateway.observability import metrics
from gateway.security import listen as network
from gateway.settings import Settings

# One stop may come as several signals: from a service manager to every process, and from the launcher to us.
_SAME_STOP_S = 1.0


class StopRequests:
    """Tells the first signal that asks to stop from a second one, which insists."""

    def __init__(self) -> None:
        self._first: float | None = None

    @property
    def any(self) -> bool:
        """Whether there was one."""
        return self._first is not None

    def insists(self) -> bool:
        """Take note of a signal; True if it is not the first, nor its echo."""
        if self._first is None:
            self._first = monotonic()
        return monotonic() - self._first > _SAME_STOP_S


class GatewayServer(Server):
    """A server that drains.

    After the first SIGTERM or SIGINT requests are still taken for `drain_delay` seconds; then the listener closes, and
    what is under way may finish. A second signal ends the process at once, unless it is a `worker`: its parent decides.
    """

    def __init__(self, config: uvicorn.Config, drain: Drain, *, drain_delay: float, worker: bool) -> None:
        super().__init__(config)
        self._drain = drain
        self._drain_delay = drain_delay
        self._worker = worker
        self._stops = StopRequests()
        self._close_at = float("inf")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's interface
        """Take a signal; uvicorn's own would raise it again at the end.

        It interrupts anything, so it takes no lock: no metric, no log.
        """
        if self._worker and sig == signal.SIGINT:  # Ctrl-C reaches every process of the terminal
            return
        first = not self._stops.any
        if self._stops.insists() and not self._worker:
            os.write(2, b"second signal: ending at once\n")
            os._exit(1)
        if first:
            self._drain.active = True
            self._close_at = monotonic() + self._drain_delay

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn ten times a second."""
        if self._drain.active:
            metrics.ready.set(0)
        if monotonic() >= self._close_at:
            self.should_exit = True
        return await super().on_tick(counter)


def make_server(settings: Settings, *, worker: bool = False) -> GatewayServer:
    """The application and its server."""
    drain = Drain()
    config = make_config(settings, create_app(settings, drain))
    return GatewayServer(config, drain, drain_delay=settings.drain_delay, worker=worker)


def make_config(settings: Settings, app: object) -> uvicorn.Config:
    """Uvicorn's side of the settings."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=HttpConnection,
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=settings.shutdown_timeout,
        **network.uvicorn_options(settings),
    )


def serve(settings: Settings, listener: socket.socket | None = None, *, worker: bool = False) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: all of them.
        listener: a bound socket; None binds one.
        worker: whether a parent process handles the signals.

    Raises:
        SystemExit: it cannot listen; the reason is in the log.
    """
    make_server(settings, worker=worker).run(None if listener is None else [listener])
    ignore_stops()


def ignore_stops() -> None:
    """All is done: a signal while the interpreter cleans up changes nothing but the exit status."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
