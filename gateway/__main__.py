"""`python -m gateway`: the gateway under uvicorn."""

import argparse
import logging
import signal
import sys
from types import FrameType

import uvicorn
from pydantic import ValidationError

from gateway import network
from gateway.api_keys import new_api_key
from gateway.app import create_app
from gateway.log_privacy import keep_secrets_out_of_logs
from gateway.settings import ENV_PREFIX, Settings, setting_rows, settings_markdown
from gateway.tls import TlsError


def main(arguments: list[str] | None = None) -> int:
    """Run the gateway until SIGTERM or SIGINT; return the exit status."""
    options = vars(_parser().parse_args(arguments))
    if options.pop("settings_markdown"):
        sys.stdout.write(settings_markdown())
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
        network.check(settings)
    except TlsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    _serve(settings)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gateway",
        usage="%(prog)s [options]",
        description="HTTP gateway to the small-object detectors on Triton. Each option is a setting, and its "
        "environment variable does the same; the option wins.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=110),
    )
    parser.add_argument(
        "--settings-markdown", action="store_true", help="print the settings as a Markdown table and exit"
    )
    parser.add_argument(
        "--new-api-key",
        metavar="NAME",
        help="make an API key, print it and its entry for the setting api_keys, and exit",
    )
    for variable, default, description in setting_rows():
        name = variable.removeprefix(ENV_PREFIX).lower()
        told = f"{description} [{variable}; {f'default {default}' if default else 'unset'}]"
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar="VALUE", help=told.replace("%", "%%"))
    return parser


def _serve(settings: Settings) -> None:
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    logging.captureWarnings(True)
    keep_secrets_out_of_logs()
    network.warn_if_open(settings)
    # uvicorn finishes what is under way, then raises the signal again for what was there before: a clean exit.
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=settings.access_log,
        timeout_graceful_shutdown=settings.shutdown_timeout,
        **network.uvicorn_options(settings),
    )


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
