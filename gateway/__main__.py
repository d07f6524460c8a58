"""`python -m gateway`: the gateway under uvicorn."""

import argparse
import json
import signal
import sys
from itertools import groupby
from types import FrameType

from pydantic import ValidationError

from gateway.app import create_app
from gateway.http_server.server import stop_signals
from gateway.observability import logs
from gateway.observability.metrics import metrics_markdown
from gateway.security.api_keys import new_api_key
from gateway.security.listen import warn_if_unauthenticated
from gateway.security.tls import TlsError
from gateway.serve import check_files, serve
from gateway.settings import ENV_PREFIX, Settings, setting_rows, settings_markdown


def _openapi_json() -> str:
    """The OpenAPI document with the default settings."""
    return json.dumps(create_app(Settings.model_construct()).openapi(), indent=2, ensure_ascii=False) + "\n"


# Option → (function that writes the document, help).
_DOCUMENTS = {
    "settings_markdown": (settings_markdown, "print the settings as Markdown and exit"),
    "metrics_markdown": (metrics_markdown, "print the metrics as Markdown and exit"),
    "openapi": (_openapi_json, "print the OpenAPI document and exit"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the gateway until it is stopped by a signal; return the exit status."""
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
    try:
        check_files(settings)
    except (TlsError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    # Stop while the application is created; afterwards the server handles these signals.
    for number in stop_signals():
        signal.signal(number, _exit)
    logs.configure(settings.log_level, settings.log_format)
    warn_if_unauthenticated(settings.host, has_api_keys=bool(settings.api_keys or settings.api_keys_file))
    return serve(settings)


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
