"""The form without a sub-command: `paddlex`'s own lines, with `sod` in its place."""

import argparse
import os
from collections.abc import Sequence

from sod_client._cli import commands as _commands
from sod_client._cli import config, console, options, predict
from sod_client._config import PIPELINE, read_config
from sod_client._local_server.device import place
from sod_client.errors import SodError

# What PaddleX does with these options, another command does here.
_ELSEWHERE = {
    "--paddle2onnx": "`sod export --model_dir DIR` converts a Paddle model, and more",
    "--install": "there are no plugins; `sod doctor` says what a server lacks",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options, in groups of their own."""
    group = parser.add_argument_group("as paddlex: detect (sod predict has the same options)")
    options.add_pipeline(group, None)
    group.add_argument(
        "--input", nargs="+", metavar="IMAGE", help="an image, PDF, TIFF, folder or http(s) URL, or several"
    )
    options.add_predict(group)
    predict.add_output(group)
    group = parser.add_argument_group("as paddlex: write a pipeline file (sod config)")
    group.add_argument("--get_pipeline_config", metavar="NAME", help=f"{PIPELINE}, into --save_path")
    group = parser.add_argument_group("as paddlex: serve (sod serve, which has more options)")
    group.add_argument(
        "--serve", action="store_true", help="start the server with --pipeline, --device, --host and --port"
    )
    group.add_argument("--host", help="address to listen on; default: 127.0.0.1")
    group.add_argument("--port", help="default: 8080")


def run(parser: argparse.ArgumentParser, arguments: argparse.Namespace, further: Sequence[str]) -> int:
    """Do what the options say; returns the exit code.

    Args:
        parser: ends the process with a sentence if they do not fit.
        arguments: what it knows.
        further: what it does not; `sod serve`, which knows more, may.
    """
    if arguments.serve:
        return _serve(arguments, further)
    if further:
        name = further[0].partition("=")[0]
        parser.error(
            f"{name} is not needed here: {_ELSEWHERE[name]}"
            if name in _ELSEWHERE
            else f"unrecognized arguments: {' '.join(further)}"
        )
    if arguments.get_pipeline_config is not None:
        return config.write(arguments.get_pipeline_config, arguments.save_path)
    if arguments.input is None:
        parser.error("give --input: an image, PDF, folder or URL; or a sub-command, see sod --help")
    if arguments.pipeline is None:
        arguments.pipeline = PIPELINE
    return predict.run(arguments)


def _serve(arguments: argparse.Namespace, further: Sequence[str]) -> int:
    try:
        described = read_config(arguments.pipeline or PIPELINE, None)
        use_hpip = described.use_hpip if arguments.use_hpip is None else arguments.use_hpip
        placement = place(arguments.device, use_hpip)
    except SodError as error:
        console.complain(str(error))
        return console.exit_code_before(error)
    passed = {
        "--host": arguments.host,
        "--port": arguments.port,
        "--profile": placement.profile,
        "--model": arguments.model or described.model_name,
    }
    os.environ.update(placement.environment)
    if isinstance(described.threshold, float):
        os.environ.setdefault("SOD_DEFAULT_THRESHOLD", str(described.threshold))
    elif described.threshold is not None:
        console.complain("note: thresholds by class are the model's: `sod export --pipeline FILE` puts them there")
    words = [word for option, value in passed.items() if value is not None for word in (option, value)]
    code = _commands.run("serve", [*words, *further])
    return console.USAGE if code is None else code
