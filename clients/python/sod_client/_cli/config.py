"""`sod config`: the pipeline file that `--pipeline` and `create_pipeline` read."""

import argparse
import json
from pathlib import Path

from sod_client._cli import console
from sod_client._config import MODULE, PIPELINE

_YAML = (".yaml", ".yml")
_TEXT = """\
# PaddleX's pipeline description, for `sod --pipeline FILE` and create_pipeline("FILE").
pipeline_name: {pipeline}

SubModules:
  {module}:
    module_name: {pipeline}
    model_name: {model}  # one of `sod models`; null is the server's default
    model_dir: null  # of a Paddle inference model, which `sod export --pipeline FILE` makes a served one of that name
    threshold: 0.5  # or by class id: {{0: 0.5, 3: 0.3}}
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The sub-command."""
    parser = commands.add_parser(
        "config",
        help="write a pipeline file",
        description="Write PaddleX's pipeline file, to be edited and passed as --pipeline; without --save_path to "
        "stdout.",
        epilog="exit codes: 0 done, 1 cannot be written, 2 the command line is wrong",
        allow_abbrev=False,
    )
    parser.set_defaults(command=run)
    parser.add_argument("name", nargs="?", default=PIPELINE, metavar="NAME", help=f"the pipeline: {PIPELINE}")
    parser.add_argument("--save_path", "--save-path", metavar="PATH", help=f"a folder, for {PIPELINE}.yaml, or a file")
    parser.add_argument("--model", metavar="NAME", help="its model_name, one of `sod models`")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that says something else")


def run(arguments: argparse.Namespace) -> int:
    """Write it as the options say; returns the exit code."""
    return write(arguments.name, arguments.save_path, model=arguments.model, overwrite=arguments.overwrite)


def write(name: str, save_path: str | None, *, model: str | None = None, overwrite: bool = False) -> int:
    """Write a pipeline's file, or print it; returns the exit code."""
    if name != PIPELINE:
        console.complain(f"there is no pipeline {name!r}; this server's is {PIPELINE}")
        return console.USAGE
    text = _TEXT.format(pipeline=PIPELINE, module=MODULE, model="null" if model is None else json.dumps(model))
    if save_path is None:
        print(text, end="", flush=True)
        return console.OK
    file = Path(save_path)
    if file.suffix not in _YAML:
        file /= f"{PIPELINE}.yaml"
    try:
        if not overwrite and file.exists() and file.read_text(encoding="utf-8", errors="replace") != text:
            console.complain(f"{file} is there already, and stays as it is; `sod config --overwrite` replaces it")
            return console.FAILED
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        console.complain(f"{file} cannot be written: {getattr(error, 'strerror', None) or error}")
        return console.FAILED
    print(file, flush=True)
    return console.OK
