"""The command line: `python -m export`."""

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from export.errors import ExportError
from export.paddle_model import find_model
from export.paddlex_pipeline import PipelineFile, source_of
from export.pictures import load_pictures, synthetic_picture
from export.pipeline import DEFAULT_LIMITS, export_detector
from export.templates import ServingOptions

LOG = logging.getLogger("export")


def main(argv: Sequence[str] | None = None, prog: str = "python -m export") -> int:
    """Run the export; progress and errors go to stderr, the paths of the written files to stdout.

    Args:
        argv: without the command itself; None for the process's own.
        prog: the command as the user knows it.

    Returns:
        0; 2 if nothing was written; 3 if all was written and a running server did not take it in.
    """
    arguments = _parser(prog).parse_args(argv)
    try:
        with _progress_on_stderr():
            given = source_of(arguments.model_dir, arguments.pipeline)
            model = find_model(_model_dir(given), arguments.name or given.model_name)
            pictures = load_pictures(arguments.image) or [synthetic_picture()]
            written = export_detector(
                model,
                arguments.output_dir,
                pictures,
                with_paddle=arguments.paddle,
                options=ServingOptions(given.batch_size, given.threshold, arguments.overwrite),
            )
    except ExportError as error:
        print(f"export failed: {error}", file=sys.stderr)
        return 2
    for path in written:
        print(path)
    try:
        with _progress_on_stderr():
            if arguments.load is not None:
                from export.serving import load_exported, triton_url  # noqa: PLC0415  (a client that few exports need)

                load_exported(arguments.load or triton_url(), arguments.output_dir, model.config.model_name)
    except ExportError as error:
        print(f"exported, but not loaded: {error}", file=sys.stderr)
        return 3
    return 0


def _model_dir(given: PipelineFile) -> Path:
    if given.model_dir is None:
        raise ExportError(f"model_dir is null: put the path of {given.model_name}'s Paddle inference model there")
    return given.model_dir


@contextmanager
def _progress_on_stderr() -> Iterator[None]:
    handler, level = logging.StreamHandler(sys.stderr), LOG.level
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOG.setLevel(level)
        LOG.removeHandler(handler)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Make a detector that Triton serves from a Paddle inference model: ONNX, uint8 pixels in, boxes "
        "and scores out, checked against Paddle Inference at batch 1, 2 and 4. Nothing is written unless the check "
        f"passes (boxes within {DEFAULT_LIMITS.box} px, scores within {DEFAULT_LIMITS.score}).",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--model_dir",
        type=Path,
        metavar="DIR",
        help="the Paddle inference model: inference.json (or .pdmodel), inference.pdiparams, inference.yml",
    )
    source.add_argument(
        "--pipeline",
        type=Path,
        metavar="FILE",
        help="a PaddleX pipeline file: model_name, model_dir, batch_size and threshold of its SmallObjectDetection",
    )
    parser.add_argument(
        "--output_dir",
        type=Path,
        default=Path("model_repository"),
        metavar="DIR",
        help="the model repository, to which the model's folders are added (default: %(default)s)",
    )
    parser.add_argument(
        "--image",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="pictures to check on (default: a synthetic one)",
    )
    parser.add_argument("--name", help="the model's name (default: Global.model_name of inference.yml)")
    parser.add_argument(
        "--no-paddle",
        dest="paddle",
        action="store_false",
        help="leave out the Paddle model without NMS (inference.json, inference.pdiparams), "
        "which the profile cpu_regular runs",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace a model of this name that has other classes, another size or NMS",
    )
    parser.add_argument(
        "--load",
        nargs="?",
        const="",
        metavar="HOST:PORT",
        help="then have a running Triton load the model, without a restart; its gRPC address (default: the "
        "environment's SOD_TRITON_URL, or 127.0.0.1:8001)",
    )
    return parser
