"""`python -m gateway`: the gateway under uvicorn."""

import argparse
import json
import signal
import socket
import sys
from ctypes import c_double
from functools import partial
from itertools import groupby
from types import FrameType

import uvicorn
from pydantic import ValidationError

from gateway.app import create_app
from gateway.drain import Drain
from gateway.http_server.connection import ConnectionLimits
from gateway.http_server.processes import serve_workers
from gateway.http_server.server import GatewayServer, ignore_stop_signals, make_config
from gateway.observability import logs
from gateway.observability.metrics import metrics_markdown
from gateway.security.api_keys import new_api_key
from gateway.security.listen import Listener, warn_if_unauthenticated
from gateway.security.tls import TlsError, TlsFiles, server_context
from gateway.settings import ENV_PREFIX, Settings, setting_rows, settings_markdown


def _openapi_json() -> str:
    """The OpenAPI document with the default settings."""
    return json.dumps(create_app(Settings.model_construct()).openapi(), indent=2, ensure_ascii=False) + "\n"


# Time of a worker for its trace exporter and threads, after its requests have finished.
_CLOSE_S = 5.0

# Option → (function that writes the document, help).
_DOCUMENTS = {
    "settings_markdown": (settings_markdown, "print the settings as Markdown and exit"),
    "metrics_markdown": (metrics_markdown, "print the metrics as Markdown and exit"),
    "openapi": (_openapi_json, "print the OpenAPI document and exit"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the gateway until SIGTERM or SIGINT; return the exit status."""
    options = vars(_parser().parse_args(arguments))
    for name, (write, _) in _DOCUMENTS.items():
        if options.pop(name):
            sys.stdout.write(write())
            return 0
    if (key_name := options.pop("new_api_key")) is not None:
        return _print_new_api_key(key_name)
    try:
        settings = Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        for detail in error.errors():
            name = str(detail["loc"][0])
            problem = detail["msg"].removeprefix("Value error, ")
            sys.stderr.write(f"{ENV_PREFIX}{name.upper()} (--{name.replace('_', '-')}): {problem}\n")
        return 2
    listener = _listener(settings)
    try:
        if listener.tls is not None:
            server_context(listener.tls)
    except TlsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    # Stop while the application is created; afterwards the server handles these signals.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)
    logs.configure(settings.log_level, settings.log_format)
    warn_if_unauthenticated(settings.host, has_api_keys=bool(settings.api_keys))
    if settings.workers == 1:
        _serve(settings)
        return 0
    return serve_workers(
        partial(_serve_worker, settings),
        _config(settings, None),
        count=settings.workers,
        worker_timeout=settings.worker_timeout,
        stop_timeout=settings.drain_delay + settings.shutdown_timeout + _CLOSE_S,
    )


def _serve(settings: Settings, sockets: list[socket.socket] | None = None, heartbeat: c_double | None = None) -> None:
    """Serve in this process until it is asked to stop."""
    drain = Drain()
    config = _config(settings, create_app(settings, drain))
    GatewayServer(config, drain, drain_delay=settings.drain_delay, heartbeat=heartbeat).run(sockets)
    ignore_stop_signals()


def _serve_worker(settings: Settings, listener: socket.socket, heartbeat: c_double) -> None:
    logs.configure(settings.log_level, settings.log_format)
    _serve(settings, [listener], heartbeat)


def _config(settings: Settings, app: object) -> uvicorn.Config:
    return make_config(
        app,
        _listener(settings),
        limits=ConnectionLimits(receive=settings.body_timeout, send=settings.send_timeout),
        shutdown_timeout=settings.shutdown_timeout,
    )


def _listener(settings: Settings) -> Listener:
    certificate, key, password = settings.tls_certificate, settings.tls_key, settings.tls_key_password
    tls = None
    if certificate is not None and key is not None:
        tls = TlsFiles(certificate, key, None if password is None else password.get_secret_value())
    return Listener(settings.host, settings.port, settings.forwarded_allow_ips, tls)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gateway",
        usage="%(prog)s [options]",
        description="HTTP gateway to the small-object detectors on Triton. Each option is a setting with an "
        "environment variable; the option takes precedence.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=110),
    )
    for name, (_, description) in _DOCUMENTS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", action="store_true", help=description)
    parser.add_argument(
        "--new-api-key",
        metavar="NAME",
        help="make an API key, print it and its entry for the setting api_keys, and exit",
    )
    for section, rows in groupby(setting_rows(), key=lambda row: row.section):
        group = parser.add_argument_group(section)
        for row in rows:
            name = row.variable.removeprefix(ENV_PREFIX).lower()
            text = f"{row.description} [{row.variable}; {f'default {row.default}' if row.default else 'unset'}]"
            group.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar="VALUE", help=text.replace("%", "%%"))
    return parser


def _print_new_api_key(name: str) -> int:
    try:
        key, entry = new_api_key(name)
    except ValueError as error:
        sys.stderr.write(f"--new-api-key: {error}\n")
        return 2
    sys.stdout.write(
        f"key, shown once, for the client:    {key}\nentry for {ENV_PREFIX}API_KEYS, for the server: {entry}\n"
    )
    return 0


def _exit(_: int, __: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
