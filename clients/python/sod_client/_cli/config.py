"""`sod config`: writes a pipeline file for `--pipeline` and `create_pipeline`."""

import argparse
import json
from pathlib import Path

from sod_client._cli import console, server_address
from sod_client._config import MODULE, PIPELINE
from sod_client.errors import SodError

_PADDLEX_MODEL = "PP-YOLOE_plus_SOD-L"  # of PaddleX's own file
_YAML = (".yaml", ".yml")
_TEMPLATE = """\
# A PaddleX pipeline configuration, for `sod --pipeline FILE` and create_pipeline("FILE").
pipeline_name: {pipeline}

SubModules:
  {module}:
    module_name: {pipeline}
    model_name: {model}  # one of `sod models`; null is the server's default
    model_dir: null  # the folder of a fine-tuned Paddle inference model, which is used instead
    batch_size: 1  # PaddleX's default, without effect: Triton batches the requests that arrive together
    threshold: 0.5  # or by class id: {{0: 0.5, 3: 0.3}}
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "config",
        help="write a pipeline file",
        description="Write a PaddleX pipeline file, which you can edit and pass as --pipeline.",
        epilog="exit codes: 0 done, 1 the file cannot be written, 2 the command line is invalid",
        allow_abbrev=False,
    )
    parser.set_defaults(command=run)
    parser.add_argument(
        "name", nargs="?", default=PIPELINE, metavar="NAME", help="name of the pipeline (default: %(default)s)"
    )
    parser.add_argument(
        "--save_path",
        "--save-path",
        metavar="PATH",
        help=f"file to write, or folder for {PIPELINE}.yaml (default: print to stdout)",
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        help=f"model_name of the file, one of `sod models` (default: {_PADDLEX_MODEL}, as in PaddleX, if `sod models` "
        "lists it, otherwise the server's default)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file that differs")


def run(arguments: argparse.Namespace) -> int:
    """Write the file that the arguments describe; returns the exit code."""
    return write(arguments.name, arguments.save_path, model=arguments.model, overwrite=arguments.overwrite)


def write(name: str, save_path: str | None, *, model: str | None = None, overwrite: bool = False) -> int:
    """Write the file of a pipeline, or print it if `save_path` is None; returns the exit code."""
    if name != PIPELINE:
        console.print_error(f"there is no pipeline {name!r}; the only one is {PIPELINE}")
        return console.USAGE
    if model is None:
        model = _default_model()
    text = _TEMPLATE.format(pipeline=PIPELINE, module=MODULE, model="null" if model is None else json.dumps(model))
    if save_path is None:
        print(text, end="", flush=True)
        return console.OK
    file = Path(save_path)
    if file.suffix not in _YAML:
        file /= f"{PIPELINE}.yaml"
    try:
        if not overwrite and file.exists() and file.read_text(encoding="utf-8", errors="replace") != text:
            console.print_error(f"{file} exists and was not changed; `sod config --overwrite` replaces it")
            return console.FAILED
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: the name contains a NUL character
        console.print_error(f"{file} cannot be written: {getattr(error, 'strerror', None) or error}")
        return console.FAILED
    print(file, flush=True)
    return console.OK


def _default_model() -> str | None:
    """PaddleX's model, if a server that runs, or else the installed repository, has it; otherwise None."""
    nothing_given = argparse.Namespace(url=None, device=None, use_hpip=None, ca=None, insecure=False)
    try:
        models = server_address.find_models(nothing_given, retries=0)
    except SodError:
        return None
    return _PADDLEX_MODEL if any(model.name == _PADDLEX_MODEL for model in models) else None
