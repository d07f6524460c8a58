"""`sod models`: lists the models of a server."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from sod_client._cli import console, options, server_address
from sod_client._results.data import Model
from sod_client.errors import SodError

ACTIONS = ("load", "unload", "remove")
"""What the server's package does with an installed model: `sod models load NAME`."""

_EXIT_CODES = """\
exit codes:
  0    the models were listed
  2    the command line is invalid
  3    the server did not respond, was overloaded or refused the API key, or no server runs and none is installed
  130  interrupted by Ctrl-C
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "models",
        help="list the server's models",
        description="List the models that the server has ready or, if none runs, that are installed here. * marks the\n"
        "default; SIZE is the height and width in pixels that images are resized to. Where the server is installed,\n"
        "`sod models load|unload|remove NAME` changes what it serves: `sod models load --help`.",
        epilog=f"{server_address.RULE_WITHOUT_START}\n{_EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(command=run, device=None, use_hpip=None)
    options.add_server(parser)
    parser.add_argument("--json", action="store_true", help="print one line of JSON per model")


def run(arguments: argparse.Namespace) -> int:
    """Print the models; returns the exit code."""
    try:
        models = server_address.find_models(arguments)
    except SodError as error:
        console.print_error(str(error))
        return console.exit_code_before_sending(error)
    lines = [json.dumps(asdict(model), ensure_ascii=False) for model in models] if arguments.json else _table(models)
    for line in lines:
        print(line)
    sys.stdout.flush()
    return console.OK


def _table(models: Sequence[Model]) -> list[str]:
    rows = [("", "NAME", "SIZE", "CLASSES", "LABELS")]
    rows += [
        (
            "*" if model.default else "",
            model.name,
            "x".join(map(str, model.input_size)) if model.input_size else "?",
            str(len(model.labels)),
            ", ".join(model.labels),
        )
        for model in models
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        f"{star:<1} {name:<{widths[1]}}  {size:>{widths[2]}}  {classes:>{widths[3]}}  {labels}"
        for star, name, size, classes, labels in rows
    ]
