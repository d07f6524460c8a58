"""The command line: `python -m export`, and `sod export`."""

import argparse
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from export.errors import ExportError
from export.hub.official_models import OFFICIAL_ARCHIVES, fetch_official
from export.paddle.paddlex_pipeline import PipelineFile, source_of
from export.precision import PRECISIONS, Precision, Target
from export.request import ExportRequest, ExportResult
from export.serving_options import ServingOptions
from export.tensorrt.compile_check import TURING
from export.tensorrt.plan import import_tensorrt
from export.tensorrt_export import check_installed, export_plan
from export.triton.model_name import alias_note, served_name

LOG = logging.getLogger("export")
OFFICIAL = tuple(OFFICIAL_ARCHIVES)
ALL = "all"
# The folder that `sod serve` reads, whatever the working directory is.
REPOSITORY = Path(__file__).absolute().parents[1] / "model_repository"


def main(argv: Sequence[str] | None = None, prog: str = "python -m export") -> int:
    """Run the export; progress, results and errors go to stderr, the paths of the written files to stdout.

    Args:
        argv: the arguments; None for those of the process.
        prog: the name of the command in its help.

    Returns:
        The exit code: 0 if everything that was asked for stands; an artefact beside it that failed its check is left
        out with a warning. 2 if a target or a precision that was asked for was not made; 3 if all was made, but a
        running server did not load it.
    """
    arguments = _parser(prog).parse_args(argv)
    results: list[ExportResult] = []
    failures = 0
    with _progress_on_stderr():
        try:
            for job in _jobs(arguments):
                try:
                    result = job()
                except (ExportError, OSError) as error:  # the other models are still exported
                    failures += _print_failure(_error_text(error))
                    continue
                results.append(result)
                LOG.info("%s", result)
                for path in result.installed:
                    print(path)
                failures += sum(_print_failure(f"{result.name}: {text}") for text in result.failures)
                for text in result.left_out:
                    print(f"warning: {result.name}: {text}", file=sys.stderr)
            if arguments.report and results:
                _report(arguments.report, results)
        except (ExportError, OSError) as error:
            failures += _print_failure(_error_text(error))
        loaded = _load(arguments, [result.name for result in results if result.installed])
        return 2 if failures else loaded


def _print_failure(text: str) -> int:
    print(f"export failed: {text}", file=sys.stderr)
    return 1


def _error_text(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or 'the work folder'}: {error.strerror or error}"
    return str(error)


def _load(arguments: argparse.Namespace, names: Sequence[str]) -> int:
    """Load the models into a running server if --load was given; return the exit code."""
    if arguments.load is None:
        return 0
    # Imported here: few exports need the client.
    from export.triton.model_control import load_exported, on_each, triton_urls  # noqa: PLC0415

    if not names:
        print("nothing is loaded, because nothing was exported", file=sys.stderr)
    code = 0
    for name in names:
        try:
            on_each(triton_urls(arguments.load), partial(load_exported, repository=arguments.output_dir, name=name))
        except ExportError as error:
            print(f"{name} is exported, but not loaded: {error}", file=sys.stderr)
            code = 3
    return code


def _jobs(arguments: argparse.Namespace) -> Iterator[Callable[[], ExportResult]]:
    """The exports, one after another; each is prepared when the one before has ended."""
    source = source_of(arguments.model_dir, arguments.pipeline)
    request = _request(arguments, source)
    for name, model_dir in _models(arguments, source):
        if model_dir:
            if [target for target in request.targets if target is not Target.TENSORRT]:
                yield _from_paddle(model_dir, name, arguments.images, request)
        elif Target.TENSORRT_CHECK in request.targets:
            yield lambda name=name: check_installed(name, request)  # type: ignore[misc]
        elif Target.EDGE in request.targets:
            yield _edge_of_installed(name, arguments.images, request)
        if Target.TENSORRT in request.targets:
            if not name and model_dir:
                # Imported here: what reads a Paddle model is not in the Triton image.
                from export.paddle.inference_model import find_model  # noqa: PLC0415

                name = find_model(model_dir).config.model_name  # noqa: PLW2901
            yield lambda name=name: export_plan(name, request)  # type: ignore[misc]


def _models(arguments: argparse.Namespace, source: PipelineFile) -> Iterator[tuple[str, Path | None]]:
    """The name (empty for the model's own) and the Paddle model (None for an installed detector) of each export."""
    name = arguments.name or source.model_name or ""
    if name:
        if note := alias_note(name):
            LOG.warning("%s", note)
        name = served_name(name)
    if source.model_dir:
        yield name, source.model_dir
    elif arguments.model:
        for official in OFFICIAL if arguments.model == ALL else [arguments.model]:
            yield official, fetch_official(official)
    elif arguments.pipeline or arguments.model_dir:  # a pipeline file without a model_dir, PaddleX's default
        yield name, fetch_official(source.model_name or "")
    else:
        yield name, None


def _from_paddle(
    model_dir: Path, name: str, paths: Sequence[Path], request: ExportRequest
) -> Callable[[], ExportResult]:
    # Imported here: Paddle, ONNX and ONNX Runtime are not in the Triton image.
    from export.paddle.inference_model import find_model  # noqa: PLC0415
    from export.paddle.parity_check import max_images  # noqa: PLC0415
    from export.paddle_export import export_model  # noqa: PLC0415
    from export.verification.images import find_images, load_images, split, synthetic_image  # noqa: PLC0415

    model = find_model(model_dir, name or None)
    compared, calibration = split(find_images(paths), max_images(model.config))
    images = load_images(compared)
    if images:
        return lambda: export_model(model, request, images, calibration)
    return lambda: export_model(model, replace(request, made_up_image=True), [synthetic_image()], calibration)


def _edge_of_installed(name: str, paths: Sequence[Path], request: ExportRequest) -> Callable[[], ExportResult]:
    # Imported here: ONNX and ONNX Runtime are not in the Triton image.
    from export.edge.edge_export import export_installed  # noqa: PLC0415
    from export.verification.images import find_images, load_images, split, synthetic_image  # noqa: PLC0415

    compared, calibration = split(find_images(paths), 8)
    images = load_images(compared) or [synthetic_image()]
    return lambda: export_installed(name, request, images, calibration)


def _request(arguments: argparse.Namespace, source: PipelineFile) -> ExportRequest:
    from_paddle = bool(arguments.model_dir or arguments.pipeline or arguments.model)
    if not (from_paddle or arguments.name):
        raise ExportError("nothing to export: give --model_dir, --model, or the --name of an installed detector")
    if arguments.target == ALL:
        targets = [Target.ONNX, Target.OPENVINO, Target.TENSORRT_CHECK]
        try:
            import_tensorrt()
            targets.append(Target.TENSORRT)
        except ExportError as error:
            LOG.info("skipped: target tensorrt: %s", error)
    else:
        targets = [Target(arguments.target)]
    precisions = [] if arguments.precision == ALL else [Precision(arguments.precision)]
    if targets == [Target.EDGE]:
        precisions = precisions or [Precision.FP32]  # a folder has one model
        if arguments.load is not None:
            raise ExportError("--load is not for the target edge: Triton does not serve its model")
        if arguments.edge_dir and arguments.model == ALL:
            raise ExportError("--edge_dir is one folder for one model: leave it out, or name one with --model")
    if precisions and not any(precisions[0] in PRECISIONS[target] for target in targets):
        available = ", ".join(PRECISIONS[targets[0]])
        raise ExportError(f"target {arguments.target} has no precision {precisions[0]}: it has {available}")
    made_from_paddle = {Target.ONNX, Target.OPENVINO} & set(targets)
    if made_from_paddle and not from_paddle:
        raise ExportError(f"target {arguments.target} is made from a Paddle model: give --model_dir or --model")
    return ExportRequest(
        arguments.output_dir,
        targets,
        precisions,
        with_paddle=arguments.paddle,
        capabilities=arguments.capability,
        cache_dir=arguments.cache_dir,
        options=ServingOptions(source.batch_size, source.threshold, arguments.overwrite),
        edge_dir=arguments.edge_dir,
        web_app=arguments.web_app,
    )


def _report(path: Path, results: Sequence[ExportResult]) -> None:
    # Imported here: matplotlib is not in the Triton image.
    from export.report import write_report  # noqa: PLC0415

    for written in write_report(path, results):
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
    precisions = "; ".join(f"{target}: {', '.join(values)}" for target, values in PRECISIONS.items())
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Export a Paddle inference model for Triton. Every artefact is compared with Paddle Inference on "
        "images. An artefact that exceeds the limits of its precision is deleted, and the model repository keeps the "
        "file that it had.",
        epilog=f"Precisions by target: {precisions}. docs/export.md lists the limits.",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--model_dir",
        type=Path,
        metavar="DIR",
        help="the Paddle inference model: inference.json (or .pdmodel), inference.pdiparams, inference.yml; or "
        "PaddleDetection's model.pdmodel (or .json), model.pdiparams, infer_cfg.yml",
    )
    source.add_argument(
        "--pipeline",
        type=Path,
        metavar="FILE",
        help="a PaddleX pipeline file; model_name, model_dir, batch_size and threshold of its SmallObjectDetection "
        "are used",
    )
    source.add_argument(
        "--model",
        choices=[*OFFICIAL, ALL],
        metavar="NAME",
        help=f"an official model: {', '.join(OFFICIAL)}, or {ALL}; downloaded once, to SOD_CACHE or "
        "~/.cache/triton-sod",
    )
    parser.add_argument(
        "--name",
        help="the name of the served model (default: Global.model_name of inference.yml, else the folder's name); "
        "without one of the options above, an installed model for the targets tensorrt, tensorrt-check and edge",
    )
    parser.add_argument(
        "--target",
        choices=[*(target.value for target in Target), ALL],
        default=Target.ONNX.value,
        help="the engine to export for (default: %(default)s)",
    )
    parser.add_argument(
        "--precision",
        choices=[*(precision.value for precision in Precision), ALL],
        default=ALL,
        help="the precision to make (default: all precisions of the target; of edge, fp32)",
    )
    parser.add_argument(
        "--images",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="PATH",
        help="images, or folders of them, for the accuracy check and the calibration of INT8 (default: one synthetic "
        "image)",
    )
    parser.add_argument(
        "--output_dir",
        type=Path,
        default=REPOSITORY,
        metavar="DIR",
        help="the model repository to write to (default: %(default)s, which the server reads)",
    )
    parser.add_argument(
        "--cache_dir",
        type=Path,
        default=Path(".cache/export"),
        metavar="DIR",
        help="the folder for TensorRT's timing caches and for the reference outputs that a plan is compared with "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE.md", help="write the results as Markdown, with a plot beside the file"
    )
    parser.add_argument(
        "--capability",
        nargs="+",
        default=[TURING],
        metavar="SM",
        help="the GPUs that the target tensorrt-check compiles for: SM75 (T4), SM80, SM86, SM89, SM120 (default: "
        f"{TURING})",
    )
    parser.add_argument(
        "--no-paddle",
        dest="paddle",
        action="store_false",
        help="do not install the Paddle model without NMS (inference.json, inference.pdiparams), which the profile "
        "cpu_regular runs",
    )
    parser.add_argument(
        "--edge_dir",
        type=Path,
        metavar="DIR",
        help="the folder that the target edge writes (default: output/edge/NAME-PRECISION)",
    )
    parser.add_argument(
        "--no-app",
        dest="web_app",
        action="store_false",
        help="write no web app beside the edge model; it needs npm once, for ONNX Runtime Web",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace an installed model of the same name that has other classes, another size or another NMS",
    )
    parser.add_argument(
        "--load",
        nargs="?",
        const="",
        metavar="HOST:PORT",
        help="load the exported model into a running Triton at this gRPC address, without a restart; several are "
        "separated by commas, dns:///HOST:PORT is every address of a name (default: SOD_TRITON_URL of the environment, "
        "or 127.0.0.1:8001)",
    )
    return parser
