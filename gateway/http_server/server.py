"""uvicorn's server with graceful shutdown, fast accepting, and a heartbeat for the supervisor of several workers."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from ctypes import c_double
from functools import partial
from time import monotonic
from types import FrameType

import uvicorn

from gateway.drain import Drain
from gateway.http_server.connection import ConnectionLimits, HttpConnection
from gateway.http_server.memory import release_large_blocks
from gateway.observability import metrics
from gateway.security.file_watch import FileWatch
from gateway.security.listen import Listener
from gateway.security.tls import TlsFiles, reload_certificate, server_context

# One stop may arrive as several signals: from a service manager to every process, and from the launcher to this one.
_SAME_STOP_S = 1.0
# uvloop accepts one connection per iteration of its loop from each listening descriptor, so a rejection would wait for
# the work of accepted requests. Several descriptors of the same socket avoid that.
_LISTENING_DESCRIPTORS = 32
_HEARTBEAT_S = 1.0


class StopSignals:
    """Tells the first stop signal, and its repetitions within a second, from a second one that forces the end."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._first: float | None = None

    @property
    def received(self) -> bool:
        """Whether a stop signal has arrived."""
        return self._first is not None

    def record(self) -> bool:
        """Record a stop signal; True if it forces the end."""
        if self._first is None:
            self._first = self._clock()
        return self._clock() - self._first > _SAME_STOP_S


class GatewayServer(uvicorn.Server):
    """A server that drains before it stops.

    After the first of the `stop_signals` it accepts requests for `drain_delay` more seconds. Then it stops listening
    and finishes the requests in progress. A second signal ends the process at once.

    In a worker process (with a `heartbeat`) SIGINT, SIGHUP and second signals are ignored, because the parent handles
    them, and the event loop stores `time.monotonic()` in `heartbeat` every second.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        drain: Drain,
        *,
        drain_delay: float = 0.0,
        heartbeat: c_double | None = None,
        tls: TlsFiles | None = None,
    ) -> None:
        super().__init__(config)
        self._drain = drain
        self._tls = tls
        self._drain_delay = drain_delay
        self._heartbeat = heartbeat
        self._stops = StopSignals()
        self._stop_at = float("inf")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application and listen."""
        release_large_blocks()
        if self._heartbeat is not None:
            self._beating = asyncio.create_task(self._beat(self._heartbeat))
        await super().startup(sockets)
        if self._tls is not None and self.config.ssl is not None:
            read = partial(reload_certificate, self.config.ssl, self._tls)
            watch = FileWatch("certificate", [self._tls.certificate, self._tls.key], read)
            self._watching = asyncio.create_task(watch.run())
        for listener in [listener for server in self.servers for listener in server.sockets]:
            for _ in range(_LISTENING_DESCRIPTORS - 1):
                await self._listen(socket.socket(fileno=os.dup(listener.fileno())))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's interface
        """Handle a signal. It may interrupt any code, so this takes no lock: no metrics, no logging.

        uvicorn's own handler would raise the signal again after the shutdown, and change the exit status.
        """
        is_worker = self._heartbeat is not None
        if is_worker and sig == signal.SIGINT:  # Ctrl-C reaches every process of the terminal
            return
        first = not self._stops.received
        if self._stops.record() and not is_worker:
            os.write(2, b"second signal: ending at once\n")
            os._exit(1)
        if first:
            self._drain.active = True
            self._stop_at = monotonic() + self._drain_delay

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn ten times per second; True stops the server."""
        if self._drain.active:
            metrics.ready.set(0)
        if monotonic() >= self._stop_at:
            self.should_exit = True
        return await super().on_tick(counter)

    async def _listen(self, listener: socket.socket) -> None:
        self.servers.append(
            await asyncio.get_running_loop().create_server(
                self._connect, sock=listener, ssl=self.config.ssl, backlog=self.config.backlog
            )
        )

    def _connect(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    async def _beat(self, heartbeat: c_double) -> None:
        while True:
            heartbeat.value = monotonic()
            await asyncio.sleep(_HEARTBEAT_S)


def make_config(
    app: object, listener: Listener, *, limits: ConnectionLimits, keep_alive_timeout: int, shutdown_timeout: int
) -> uvicorn.Config:
    """Make the configuration of uvicorn.

    Args:
        app: The ASGI application; None in the parent of worker processes, which only binds the socket.
        listener: Where to listen.
        limits: Limits of every connection.
        keep_alive_timeout: Seconds for which an idle connection is kept.
        shutdown_timeout: Seconds that requests in progress may take after the listener is closed.
    """
    tls = listener.tls
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=listener.host,
        port=listener.port,
        loop="uvloop",
        http=partial(HttpConnection, limits=limits),  # type: ignore[arg-type]
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=keep_alive_timeout,
        timeout_graceful_shutdown=shutdown_timeout,
        # By default uvicorn trusts these headers from 127.0.0.1.
        proxy_headers=listener.trusted_proxies is not None,
        forwarded_allow_ips=listener.trusted_proxies or [],
        ssl_context_factory=None if tls is None else lambda _config, _default: server_context(tls),
    )


def ignore_stop_signals() -> None:
    """Ignore further signals: after the shutdown they could only change the exit status."""
    for number in stop_signals():
        signal.signal(number, signal.SIG_IGN)


def stop_signals() -> list[signal.Signals]:
    """The signals that drain and stop: SIGTERM, SIGINT, and SIGHUP unless it is ignored, as nohup has it."""
    numbers = [signal.SIGTERM, signal.SIGINT]
    return numbers if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [*numbers, signal.SIGHUP]
