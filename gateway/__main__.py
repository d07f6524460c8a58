"""`python -m gateway`: the gateway under uvicorn."""

import argparse
import logging
import signal
import sys
from types import FrameType

import uvicorn
from pydantic import ValidationError
from uvicorn.config import STARTUP_FAILURE

from gateway.app import create_app
from gateway.connection import HttpConnection, Server
from gateway.settings import ENV_PREFIX, Settings, setting_rows, settings_markdown


def main(arguments: list[str] | None = None) -> int:
    """Run the gateway until SIGTERM or SIGINT; return the exit status."""
    options = vars(_parser().parse_args(arguments))
    if options.pop("settings_markdown"):
        sys.stdout.write(settings_markdown())
        return 0
    try:
        settings = Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        for detail in error.errors():
            name = str(detail["loc"][0])
            sys.stderr.write(f"{ENV_PREFIX}{name.upper()} (--{name.replace('_', '-')}): {detail['msg']}\n")
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
    # One line for every fetch, with the URL and what secrets it holds.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # uvicorn finishes what is under way, then raises the signal again for what was there before: a clean exit.
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=HttpConnection,
        ws="none",
        log_config=None,
        access_log=settings.access_log,
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_timeout,
    )
    server = Server(config)
    server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _exit(_: int, __: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
