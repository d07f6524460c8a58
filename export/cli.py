"""The command line: `python -m export`."""

import argparse
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from export.errors import ExportError
from export.hub.download import OFFICIAL_ARCHIVES, fetch_official
from export.installed import check_installed, export_plan
from export.outcome import Outcome, Request
from export.paddle.paddlex_pipeline import PipelineFile, source_of
from export.precision import PRECISIONS, Precision, Target
from export.tensorrt.compile_check import TURING
from export.tensorrt.plan import import_tensorrt
from export.triton.templates import ServingOptions

LOG = logging.getLogger("export")
OFFICIAL = tuple(OFFICIAL_ARCHIVES)
ALL = "all"


def main(argv: Sequence[str] | None = None, prog: str = "python -m export") -> int:
    """Run the export; progress, results and errors go to stderr, the paths of the written files to stdout.

    Args:
        argv: without the command itself; None for the process's own.
        prog: the command as the user knows it.

    Returns:
        0; 2 if anything that was asked for was not made; 3 if all was, and a running server did not take it in.
    """
    arguments = _parser(prog).parse_args(argv)
    outcomes: list[Outcome] = []
    failures = 0
    with _progress_on_stderr():
        try:
            for job in _jobs(arguments):
                try:
                    outcome = job()
                except (ExportError, OSError) as error:  # the other models are exported all the same
                    failures += _say(_sentence(error))
                    continue
                outcomes.append(outcome)
                LOG.info("%s", outcome)
                for path in outcome.written:
                    print(path)
                failures += sum(_say(f"{outcome.name}: {sentence}") for sentence in outcome.failures)
            if arguments.report and outcomes:
                _report(arguments.report, outcomes)
        except (ExportError, OSError) as error:
            failures += _say(_sentence(error))
        if failures:
            return 2
        return _load(arguments, [outcome.name for outcome in outcomes if outcome.written])


def _say(sentence: str) -> int:
    print(f"export failed: {sentence}", file=sys.stderr)
    return 1


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or 'the work folder'}: {error.strerror or error}"
    return str(error)


def _load(arguments: argparse.Namespace, names: Sequence[str]) -> int:
    """Have a running server take the models in, if that was asked for; the exit code."""
    if arguments.load is None:
        return 0
    from export.triton.model_control import load_exported, triton_url  # noqa: PLC0415  (a client that few exports need)

    try:
        for name in names:
            load_exported(arguments.load or triton_url(), arguments.output_dir, name)
    except ExportError as error:
        print(f"exported, but not loaded: {error}", file=sys.stderr)
        return 3
    return 0


def _jobs(arguments: argparse.Namespace) -> Iterator[Callable[[], Outcome]]:
    """What is to be done, model by model; each is prepared when the ones before are done."""
    given = source_of(arguments.model_dir, arguments.pipeline)
    request = _request(arguments, given)
    for name, model_dir in _models(arguments, given):
        if model_dir:
            if [target for target in request.targets if target is not Target.TENSORRT]:
                yield _from_paddle(model_dir, name, arguments.images, request)
        elif Target.TENSORRT_CHECK in request.targets:
            yield lambda name=name: check_installed(name, request)  # type: ignore[misc]
        if Target.TENSORRT in request.targets:
            if not name and model_dir:
                from export.paddle.inference_model import find_model  # noqa: PLC0415  (not in the Triton image)

                name = find_model(model_dir).config.model_name  # noqa: PLW2901
            yield lambda name=name: export_plan(name, request)  # type: ignore[misc]


def _models(arguments: argparse.Namespace, given: PipelineFile) -> Iterator[tuple[str, Path | None]]:
    """Names (empty: the model's own) and folders of Paddle models (None: what is installed)."""
    name = arguments.name or given.model_name or ""
    if given.model_dir:
        yield name, given.model_dir
    elif arguments.model:
        for official in OFFICIAL if arguments.model == ALL else [arguments.model]:
            yield official, fetch_official(official)
    elif arguments.pipeline or arguments.model_dir:  # a pipeline file without a model_dir, as PaddleX writes it
        yield name, fetch_official(given.model_name or "")
    else:
        yield name, None


def _from_paddle(model_dir: Path, name: str, paths: Sequence[Path], request: Request) -> Callable[[], Outcome]:
    # Only here: Paddle, ONNX and ONNX Runtime are not in the Triton image.
    from export.paddle.inference_model import find_model  # noqa: PLC0415
    from export.pipeline import export_model  # noqa: PLC0415
    from export.verification.images import find_images, load_images, split, synthetic_image  # noqa: PLC0415
    from export.verification.paddle_parity import image_count  # noqa: PLC0415

    model = find_model(model_dir, name or None)
    compared, calibration = split(find_images(paths), image_count(model.config))
    images = load_images(compared) or [synthetic_image()]
    return lambda: export_model(model, request, images, calibration)


def _request(arguments: argparse.Namespace, given: PipelineFile) -> Request:
    from_paddle = bool(arguments.model_dir or arguments.pipeline or arguments.model)
    if not (from_paddle or arguments.name):
        raise ExportError("nothing to export: give --model_dir, --model, or the --name of an installed detector")
    if arguments.target == ALL:
        targets = [Target.ONNX, Target.OPENVINO, Target.TENSORRT_CHECK]
        try:
            import_tensorrt()
            targets.append(Target.TENSORRT)
        except ExportError as error:
            LOG.info("left out: target tensorrt: %s", error)
    else:
        targets = [Target(arguments.target)]
    precisions = [] if arguments.precision == ALL else [Precision(arguments.precision)]
    if precisions and not any(precisions[0] in PRECISIONS[target] for target in targets):
        has = ", ".join(PRECISIONS[targets[0]])
        raise ExportError(f"target {arguments.target} has no precision {precisions[0]}: it has {has}")
    made_from_paddle = {Target.ONNX, Target.OPENVINO} & set(targets)
    if made_from_paddle and not from_paddle:
        raise ExportError(f"target {arguments.target} is made from a Paddle model: give --model_dir or --model")
    return Request(
        arguments.output_dir,
        targets,
        precisions,
        with_paddle=arguments.paddle,
        capabilities=arguments.capability,
        cache_dir=arguments.cache_dir,
        options=ServingOptions(given.batch_size, given.threshold, arguments.overwrite),
    )


def _report(path: Path, outcomes: Sequence[Outcome]) -> None:
    from export.report import write_report  # noqa: PLC0415  (matplotlib)

    for written in write_report(path, outcomes):
        print(written)


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
        description="Take a Paddle inference model to what Triton loads. Every artefact is compared with Paddle "
        "Inference on images; one that differs by more than its precision's limits is deleted, and the model "
        "repository stays as it was.",
        epilog="targets and precisions: "
        + "; ".join(f"{target}: {', '.join(precisions)}" for target, precisions in PRECISIONS.items())
        + ". docs/export.md has the limits.",
    )
    source = parser.add_mutually_exclusive_group()
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
    source.add_argument(
        "--model",
        choices=[*OFFICIAL, ALL],
        metavar="NAME",
        help=f"official, downloaded once (to SOD_CACHE, or ~/.cache/triton-sod): {', '.join(OFFICIAL)}, all",
    )
    parser.add_argument(
        "--name",
        help="the model's name (default: Global.model_name of inference.yml); alone, with "
        "--target tensorrt or tensorrt-check: a detector of the model repository",
    )
    parser.add_argument("--target", choices=[*Target, ALL], default=Target.ONNX, help="default: %(default)s")
    parser.add_argument("--precision", choices=[*Precision, ALL], default=ALL, help="default: all of the target's")
    parser.add_argument(
        "--images",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="PATH",
        help="images, or folders of them, to compare on and to calibrate INT8 on (default: a synthetic one)",
    )
    parser.add_argument(
        "--output_dir",
        type=Path,
        default=Path("model_repository"),
        metavar="DIR",
        help="the model repository, to which the model's folders are added (default: %(default)s)",
    )
    parser.add_argument(
        "--cache_dir",
        type=Path,
        default=Path(".cache/export"),
        metavar="DIR",
        help="keeps timing caches, and the references that plans are compared with (default: %(default)s)",
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE.md", help="write results as Markdown, with a plot beside it"
    )
    parser.add_argument(
        "--capability",
        nargs="+",
        default=[TURING],
        metavar="SM",
        help="GPUs that --target tensorrt-check compiles for: SM75 (T4, default), SM80, SM86, SM89, SM120",
    )
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
