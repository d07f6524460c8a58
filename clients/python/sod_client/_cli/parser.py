"""The command line: PaddleX's options, and the sub-commands beside them."""

import argparse
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from sod_client._cli import commands as _commands
from sod_client._cli import completion, config, console, models, paddlex, predict, where

OWN = ("predict", "models", "config", "completion")


def make(*, commands: bool = True) -> argparse.ArgumentParser:
    """The parser.

    Args:
        commands: know the sub-commands too; `command` of what it parses is then a function of it. Without them a word
            that is no option's value is no sub-command either, but one for `sod serve` to judge.
    """
    parser = argparse.ArgumentParser(
        prog="sod",
        usage="sod COMMAND ...\n       sod --pipeline small_object_detection --input IMAGE ... [--save_path DIR] ...\n"
        "       sod --get_pipeline_config small_object_detection [--save_path DIR]\n"
        "       sod --serve [--pipeline small_object_detection] [--device DEVICE] [--host HOST] [--port PORT] ...",
        description="Small-object detection with triton-sod.",
        epilog=f"{where.RULE}\n{console.EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version)
    if commands:
        _add_commands(parser)
    paddlex.add_options(parser)
    completion.add_completers(parser)
    return parser


def _add_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(prog="sod", title="commands", metavar="COMMAND", help="COMMAND --help says more")
    for own in (predict, models, config, completion):
        own.add_parser(commands)
    for name, line in _commands.installed().items():
        # For the help only: they are handed on before anything is parsed.
        if name not in OWN:
            commands.add_parser(name, help=line, add_help=False)


class _Version(argparse.Action):
    """Prints the versions of the client and of the server's package, if it is there."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help="show the versions and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        found = []
        for name in ("sod-client", _commands.PACKAGE):
            try:
                found.append(f"{name} {version(name)}")
            except PackageNotFoundError:
                continue
        print(", ".join(found) or "sod-client, not installed")
        parser.exit()
