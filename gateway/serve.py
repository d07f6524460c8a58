"""Serve the application with the settings, in this process or in worker processes."""

import signal
import socket
from ctypes import c_double
from functools import partial

import uvicorn
from fastapi import FastAPI

from gateway.app import create_app
from gateway.drain import Drain
from gateway.http_server.connection import ConnectionLimits
from gateway.http_server.processes import serve_workers
from gateway.http_server.server import GatewayServer, ignore_stop_signals, make_config, stop_signals
from gateway.http_server.strict_protocol import HeadLimits
from gateway.limits.early_refusal import EarlyRefusal
from gateway.observability import logs, metrics
from gateway.security.api_keys import KnownKeys
from gateway.security.listen import Listener
from gateway.security.tls import TlsFiles, server_context
from gateway.settings import Settings

# Time of a worker for its trace exporter and threads, after its requests have finished.
_CLOSE_S = 5.0


def check_files(settings: Settings) -> None:
    """Check the files of TLS and of API keys, if there are any.

    Raises:
        TlsError: Those of TLS cannot be used.
        ValueError: That of API keys cannot.
    """
    KnownKeys(settings.api_keys, settings.api_keys_file)
    if (files := _tls_files(settings)) is not None:
        server_context(files)


def serve(settings: Settings) -> int:
    """Serve until a signal stops it; return the exit status.

    Raises:
        SystemExit: The address cannot be bound; the reason is in the log.
    """
    if settings.workers == 1:
        _serve_application(settings)
        return 0
    return serve_workers(
        partial(_serve_worker, settings),
        _config(settings),
        count=settings.workers,
        worker_timeout=settings.worker_timeout,
        stop_timeout=settings.drain_delay + settings.shutdown_timeout + _CLOSE_S,
    )


def _serve_worker(settings: Settings, listener: socket.socket, heartbeat: c_double) -> None:
    logs.configure(settings.log_level, settings.log_format)
    _serve_application(settings, [listener], heartbeat)


def _serve_application(
    settings: Settings, sockets: list[socket.socket] | None = None, heartbeat: c_double | None = None
) -> None:
    drain = Drain()
    config = _config(settings, create_app(settings, drain))
    server = GatewayServer(
        config, drain, drain_delay=settings.drain_delay, heartbeat=heartbeat, tls=_tls_files(settings)
    )
    if signal.SIGHUP in stop_signals():
        signal.signal(signal.SIGHUP, server.handle_exit)  # uvicorn handles the others
    server.run(sockets)
    ignore_stop_signals()


def _config(settings: Settings, app: FastAPI | None = None) -> uvicorn.Config:
    return make_config(
        app,
        Listener(settings.host, settings.port, settings.forwarded_allow_ips, _tls_files(settings)),
        limits=connection_limits(settings, None if app is None else app.state.refuse),
        keep_alive_timeout=settings.keep_alive_timeout,
        shutdown_timeout=settings.shutdown_timeout,
    )


def connection_limits(settings: Settings, refuse: EarlyRefusal | None = None) -> ConnectionLimits:
    """The limits of a connection; `refuse` may refuse requests by their headers."""
    return ConnectionLimits(
        receive=settings.body_timeout,
        send=settings.send_timeout,
        head=HeadLimits(settings.max_header_bytes, refused=metrics.record_rejection),
        refuse=refuse,
    )


def _tls_files(settings: Settings) -> TlsFiles | None:
    certificate, key, password = settings.tls_certificate, settings.tls_key, settings.tls_key_password
    if certificate is None or key is None:
        return None
    return TlsFiles(certificate, key, None if password is None else password.get_secret_value())
