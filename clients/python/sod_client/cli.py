"""The `sod` command."""

import argparse
import os
import sys
from collections.abc import Sequence

from sod_client._inputs import Threshold, threshold_field
from sod_client.errors import ConnectionFailedError, InvalidInputError, SodError
from sod_client.pipeline import DEFAULT_URL, Pipeline, create_pipeline
from sod_client.result import Result

OK = 0
FAILED = 1
USAGE = 2  # argparse's own
UNREACHABLE = 3
INTERRUPTED = 130

_EXIT_CODES = """\
exit codes:
  0    every picture was detected (and saved, if asked)
  1    some picture was not; the others were
  2    the command line is wrong; nothing was sent
  3    the server gave no answer; the rest of the pictures were not sent
  130  interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, or with the process's own; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return _predict(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # as in `sod predict ... | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at its exit
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sod", description="Small-object detection with a triton-sod server.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    predict = commands.add_parser(
        "predict",
        help="detect objects in pictures",
        description="Detect objects in pictures and print {'res': {...}} for each, one line a picture.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    predict.add_argument("images", metavar="IMAGE", nargs="+", help="a file, or an http(s) URL for the server to fetch")
    predict.add_argument("--url", help=f"the server (default: the environment's SOD_URL, or {DEFAULT_URL})")
    predict.add_argument(
        "--threshold",
        type=_threshold,
        metavar="T",
        help="the score to exceed: 0.5, or by class id 0:0.5,3:0.3 (the other classes: 0.5)",
    )
    predict.add_argument(
        "--save_path",
        "--save-path",
        metavar="DIR",
        help="write NAME_res.json and NAME_res.jpg here; of two inputs with one name the later replaces the earlier",
    )
    predict.add_argument("--no-image", action="store_true", help="with --save_path: the JSON only")
    predict.add_argument("--json", action="store_true", help="print JSON in place of Python's notation")
    return parser


def _threshold(text: str) -> Threshold:
    try:
        if ":" not in text:
            threshold: Threshold = float(text)
        else:
            pairs = (pair.split(":") for pair in text.split(","))
            threshold = {int(class_id): float(score) for class_id, score in pairs}
        threshold_field(threshold)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor like 0:0.5,3:0.3") from None
    return threshold


def _predict(arguments: argparse.Namespace) -> int:
    try:
        pipeline = create_pipeline(url=arguments.url)
    except InvalidInputError as error:
        _complain(str(error))
        return USAGE
    code = OK
    with pipeline:
        for image in arguments.images:
            try:
                result = _detect(pipeline, image, arguments)
            except ConnectionFailedError as error:
                _complain(str(error))
                return UNREACHABLE
            except SodError as error:
                _complain(f"{image}: {error}")
                code = FAILED
                continue
            result.print(json_format=arguments.json, indent=None)
            sys.stdout.flush()
            if arguments.save_path is not None and not _save(result, arguments):
                code = FAILED
    return code


def _detect(pipeline: Pipeline, image: str, arguments: argparse.Namespace) -> Result:
    visualize = arguments.save_path is not None and not arguments.no_image
    return next(pipeline.predict(image, arguments.threshold, visualize=visualize))


def _save(result: Result, arguments: argparse.Namespace) -> bool:
    try:
        result.save_to_json(arguments.save_path)
        if not arguments.no_image:
            result.save_to_img(arguments.save_path)
    except (SodError, OSError) as error:
        _complain(f"{result.input_path}: not saved: {error}")
        return False
    return True


def _complain(sentence: str) -> None:
    print(f"sod: {sentence}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
