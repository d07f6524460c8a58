"""The command line: `python -m export`."""

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from export.errors import ExportError
from export.paddle_model import find_model
from export.pictures import load_pictures, synthetic_picture
from export.pipeline import DEFAULT_LIMITS, export_detector

LOG = logging.getLogger("export")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the export; progress and errors go to stderr, the paths of the written files to stdout.

    Returns:
        0, or 2 if nothing was written.
    """
    arguments = _parser().parse_args(argv)
    try:
        with _progress_on_stderr():
            model = find_model(arguments.model_dir, arguments.name)
            pictures = load_pictures(arguments.image) or [synthetic_picture()]
            written = export_detector(model, arguments.output_dir, pictures, with_paddle=arguments.paddle)
    except ExportError as error:
        print(f"export failed: {error}", file=sys.stderr)
        return 2
    for path in written:
        print(path)
    return 0


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export",
        description="Make a detector that Triton serves from a Paddle inference model: ONNX, uint8 pixels in, boxes "
        "and scores out, checked against Paddle Inference at batch 1, 2 and 4. Nothing is written unless the check "
        f"passes (boxes within {DEFAULT_LIMITS.box} px, scores within {DEFAULT_LIMITS.score}).",
    )
    parser.add_argument(
        "--model_dir",
        type=Path,
        required=True,
        metavar="DIR",
        help="the Paddle inference model: inference.json (or .pdmodel), inference.pdiparams, inference.yml",
    )
    parser.add_argument(
        "--output_dir",
        type=Path,
        default=Path("model_repository"),
        metavar="DIR",
        help="the model repository; files go to <DIR>/<model name>_detector/1/ (default: %(default)s)",
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
    return parser
