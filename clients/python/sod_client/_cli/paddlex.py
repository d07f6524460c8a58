"""The command line without a sub-command: accepts the command lines of `paddlex`."""

import argparse
import os
from collections.abc import Sequence

from sod_client._cli import config, console, options, output, plugins, predict
from sod_client._config import PIPELINE, read_config
from sod_client._local_server.device import choose_placement
from sod_client._local_server.exported_model import export_once
from sod_client.errors import SodError

# Options of PaddleX whose purpose another command serves.
_REPLACED = {
    "--paddle2onnx": "`sod export --model_dir DIR` converts a Paddle model to ONNX and installs it",
    "--install": "there are no plugins; `sod doctor` checks what is missing",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add PaddleX's options, in groups."""
    group = parser.add_argument_group("detect objects as with paddlex; sod predict has the same options")
    options.add_pipeline(group, None)
    group.add_argument("--input", nargs="+", metavar="IMAGE", help="images, PDFs, TIFFs, folders, or http(s) URLs")
    options.add_server(group)
    options.add_request(group)
    options.add_slices(group)
    options.add_output(group, default_format="python", save_may_be_folder=True)
    options.add_local_server(group)
    group = parser.add_argument_group("write a pipeline file as with paddlex; sod config has more options")
    group.add_argument(
        "--get_pipeline_config",
        metavar="NAME",
        help=f"write the file of this pipeline, {PIPELINE}, to --save_path, or print it",
    )
    group = parser.add_argument_group("start a server as with paddlex; sod serve has more options")
    group.add_argument(
        "--serve",
        action="store_true",
        help="start the server with --pipeline, --device, --host, --port and options of sod serve",
    )
    group.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    group.add_argument("--port", help="port to listen on (default: 8080)")


def run(parser: argparse.ArgumentParser, arguments: argparse.Namespace, unknown: Sequence[str]) -> int:
    """Run what the arguments describe; returns the exit code.

    Args:
        parser: reports invalid arguments and ends the process.
        arguments: the arguments that the parser knows.
        unknown: all others, which are passed to `sod serve`.
    """
    if arguments.serve:
        return _serve(arguments, unknown)
    if unknown:
        name = unknown[0].partition("=")[0]
        parser.error(
            f"{name} is not an option of sod: {_REPLACED[name]}"
            if name in _REPLACED
            else f"unrecognized arguments: {' '.join(unknown)}"
        )
    if arguments.get_pipeline_config is not None:
        return config.write(arguments.get_pipeline_config, arguments.save_path)
    if arguments.input is None:
        parser.error("--input is missing: pass images, PDFs, folders or URLs, or use a sub-command (see sod --help)")
    if arguments.pipeline is None:
        arguments.pipeline = PIPELINE
    if isinstance(arguments.save, str):
        if arguments.save_path is not None:
            parser.error(f"argument --save: {arguments.save!r} is not one of {', '.join(output.FILES)}")
        arguments.save_path, arguments.save = arguments.save, output.DEFAULT_FILES
    return predict.run(arguments)


def _serve(arguments: argparse.Namespace, unknown: Sequence[str]) -> int:
    try:
        described = read_config(arguments.pipeline or PIPELINE, None)
        use_hpip = described.use_hpip if arguments.use_hpip is None else arguments.use_hpip
        placement = choose_placement(arguments.device, use_hpip)
        model, repository = arguments.model or described.model_name, None
        if described.model_dir is not None and arguments.model is None:
            use_tensorrt = placement.profile == "gpu_high_performance"
            exported = export_once(
                described.model_dir,
                described.model_name,
                tensorrt=use_tensorrt,
                report=console.print_error,
                threshold=described.threshold,
            )
            model, repository = exported.name, str(exported.repository)
    except SodError as error:
        console.print_error(str(error))
        return console.exit_code_before_sending(error)
    serve_options = {
        "--host": arguments.host,
        "--port": arguments.port,
        "--profile": placement.profile,
        "--device": placement.device,
        "--model": model,
        "--model-repository": repository,
    }
    os.environ.update(placement.environment)
    if described.visualize is not None:
        os.environ.setdefault("SOD_VISUALIZE", str(described.visualize).lower())
    threshold = described.threshold if repository is None else None  # an exported model has the file's
    if isinstance(threshold, float):
        os.environ.setdefault("SOD_DEFAULT_THRESHOLD", str(threshold))
    elif threshold is not None:
        console.print_error(
            "note: the server does not apply the thresholds by class of the file; `sod export --pipeline FILE` stores "
            "them in the model"
        )
    if described.slices.infer:
        console.print_error(
            "note: the server slices an image only if its request says so (`slice`); the file's slice_infer is for "
            "`sod predict` and create_pipeline"
        )
    serve_arguments = [part for option, value in serve_options.items() if value is not None for part in (option, value)]
    code = plugins.run("serve", [*serve_arguments, *unknown])
    return console.USAGE if code is None else code
