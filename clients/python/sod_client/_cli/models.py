"""`sod models`."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from sod_client._cli import console, options, where
from sod_client.errors import SodError
from sod_client.pipeline import create_pipeline
from sod_client.result import Model


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The sub-command."""
    parser = commands.add_parser(
        "models",
        help="list the server's models",
        description="List the models that the server has ready: * is its default, SIZE the height and width that "
        "images are resized to.",
        epilog=f"{where.RULE}\n{console.EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(command=run, device=None, use_hpip=None)
    options.add_where(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, one object a model")


def run(arguments: argparse.Namespace) -> int:
    """Print them; returns the exit code."""
    try:
        with create_pipeline(url=where.url_of(arguments)) as pipeline:
            models = pipeline.models()
    except SodError as error:
        console.complain(str(error))
        return console.exit_code_before(error)
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
