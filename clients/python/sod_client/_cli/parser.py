"""The parser of the command line: PaddleX's options, and the sub-commands."""

import argparse
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from sod_client import __version__
from sod_client._cli import completion, config, console, models, paddlex, plugins, predict, server_address
from sod_client._cli.watch import command as watch

OWN_COMMANDS = ("predict", "watch", "models", "config", "completion")


def create_parser(*, with_commands: bool = True) -> argparse.ArgumentParser:
    """Create the parser.

    Args:
        with_commands: whether to parse sub-commands; the result's `command` is then a function of the parsed arguments.
            Without sub-commands, all words that the parser does not know are left to `sod serve`.
    """
    parser = argparse.ArgumentParser(
        prog="sod",
        usage="sod COMMAND ...\n       sod --pipeline small_object_detection --input IMAGE ... [--save_path DIR] ...\n"
        "       sod --get_pipeline_config small_object_detection [--save_path DIR]\n"
        "       sod --serve [--pipeline small_object_detection] [--device DEVICE] [--host HOST] [--port PORT] ...",
        description="Small-object detection with triton-sod.",
        epilog=f"{server_address.RULE}\n{console.EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=not with_commands,  # as in PaddleX
    )
    parser.add_argument("--version", action=_Version)
    if with_commands:
        _add_commands(parser)
    paddlex.add_options(parser)
    completion.add_completers(parser)
    return parser


def _add_commands(parser: argparse.ArgumentParser) -> None:
    subparsers = parser.add_subparsers(
        prog="sod", title="commands", metavar="COMMAND", help="sod COMMAND --help describes each"
    )
    for own in (predict, watch, models, config, completion):
        own.add_parser(subparsers)
    subparsers.add_parser("batch", help="detect objects in archives of images", add_help=False)  # `cli` runs it, too
    for name, description in plugins.installed().items():
        # These parsers appear in the help only: `cli` runs the commands of other packages before it parses.
        if name not in OWN_COMMANDS:
            subparsers.add_parser(name, help=description, add_help=False)


class _Version(argparse.Action):
    """Prints the version of the client, and that of the server's package if it is installed."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help="show the versions and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        versions = [f"sod-client {__version__}"]
        with suppress(PackageNotFoundError):
            versions.append(f"{plugins.PACKAGE} {version(plugins.PACKAGE)}")
        print(", ".join(versions))
        parser.exit()
