"""The `sod` command."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict

from sod_client import _commands
from sod_client._thresholds import Threshold, checked
from sod_client.errors import ConnectionFailedError, InvalidConfigError, SodError
from sod_client.pipeline import create_pipeline
from sod_client.result import Model, Result

OK = 0
FAILED = 1
USAGE = 2  # argparse's own
UNREACHABLE = 3
INTERRUPTED = 130
DEFAULT_URL = "http://127.0.0.1:8080"
_OWN = ("predict", "models")
_URL_HELP = f"the server (default: the environment's SOD_URL, or {DEFAULT_URL})"

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
    given = sys.argv[1:] if argv is None else list(argv)
    try:
        if given and given[0] not in _OWN and (code := _commands.run(given[0], given[1:])) is not None:
            return code
        arguments = _parser().parse_args(given)
        command: Callable[[argparse.Namespace], int] = arguments.command
        return command(arguments)
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
    predict.set_defaults(command=_predict)
    predict.add_argument("images", metavar="IMAGE", nargs="+", help="a file, or an http(s) URL for the server to fetch")
    predict.add_argument("--url", help=_URL_HELP)
    predict.add_argument("--model", metavar="NAME", help="one of `sod models` (default: the server's default)")
    predict.add_argument(
        "--threshold",
        type=_threshold,
        metavar="T",
        help="the score to exceed: 0.5, or by class id 0:0.5,3:0.3 (the other classes, and without this all: the "
        "model's default, else 0.5)",
    )
    predict.add_argument(
        "--save_path",
        "--save-path",
        metavar="DIR",
        help="write NAME_res.json and NAME_res.jpg here; of two inputs with one name the later replaces the earlier",
    )
    predict.add_argument("--no-image", action="store_true", help="with --save_path: the JSON only")
    predict.add_argument("--json", action="store_true", help="print JSON in place of Python's notation")
    models = commands.add_parser(
        "models",
        help="list the server's models",
        description="List the models that the server has ready: * is its default, SIZE the height and width that "
        "pictures are resized to.",
    )
    models.set_defaults(command=_models)
    models.add_argument("--url", help=_URL_HELP)
    models.add_argument("--json", action="store_true", help="print JSON, one object a model")
    for name, line in _commands.installed().items():
        # For the help only: `main` hands these on before anything is parsed.
        if name not in _OWN:
            commands.add_parser(name, help=line, add_help=False)
    return parser


def _threshold(text: str) -> Threshold:
    try:
        if ":" not in text:
            threshold: Threshold = float(text)
        else:
            pairs = (pair.split(":") for pair in text.split(","))
            threshold = {int(class_id): float(score) for class_id, score in pairs}
        checked(threshold)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor like 0:0.5,3:0.3") from None
    return threshold


def _models(arguments: argparse.Namespace) -> int:
    try:
        with create_pipeline(url=_url(arguments)) as pipeline:
            models = pipeline.models()
    except InvalidConfigError as error:
        _complain(str(error))
        return USAGE
    except ConnectionFailedError as error:
        _complain(str(error))
        return UNREACHABLE
    except SodError as error:
        _complain(str(error))
        return FAILED
    lines = [json.dumps(asdict(model), ensure_ascii=False) for model in models] if arguments.json else _table(models)
    for line in lines:
        print(line)
    sys.stdout.flush()
    return OK


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


def _predict(arguments: argparse.Namespace) -> int:
    visualize = arguments.save_path is not None and not arguments.no_image
    saved = True
    try:
        with create_pipeline(url=_url(arguments), model=arguments.model) as pipeline:
            for result in pipeline.predict(
                arguments.images,
                arguments.threshold,
                visualize=visualize,
                on_error=lambda error: _complain(str(error)),
            ):
                result.print(json_format=arguments.json, indent=None)
                sys.stdout.flush()
                saved &= arguments.save_path is None or _save(result, arguments)
            return OK if saved and not pipeline.errors else FAILED
    except InvalidConfigError as error:
        _complain(str(error))
        return USAGE
    except ConnectionFailedError as error:
        _complain(str(error))
        return UNREACHABLE
    except SodError as error:
        _complain(str(error))
        return FAILED


def _url(arguments: argparse.Namespace) -> str:
    given: str | None = arguments.url
    return given if given is not None else os.environ.get("SOD_URL") or DEFAULT_URL


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
