"""Command line of `sod eval`."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.evaluation import served
from benchmarks.evaluation.classes import align
from benchmarks.evaluation.datasets import FORMATS, Dataset, read_dataset
from benchmarks.evaluation.errors import EvaluationError
from benchmarks.evaluation.metrics import Figures, evaluate
from benchmarks.evaluation.report import as_dict, markdown, plot_curves

_PROFILES = ("cpu_bf16", "cpu_high_performance", "cpu_int8", "cpu_regular", "gpu_high_performance", "gpu_regular")


def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.evaluation.cli") -> int:
    """Evaluate and print the metrics.

    Returns:
        0; 1 with a message on stderr if the evaluation is impossible.
    """
    options = _parser(prog).parse_args(arguments)
    try:
        _run(options)
    except EvaluationError as error:
        print(f"sod eval: {error}", file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace) -> None:
    dataset = read_dataset(options.data, options.format, options.images)
    if options.limit:
        dataset = _first(dataset, options.limit)
    runs_to_do = [_Run(options, options.profile, options.model)]
    if options.against:
        is_profile = options.against in _PROFILES
        runs_to_do.append(
            _Run(
                options,
                options.against if is_profile else options.profile,
                options.model if is_profile else options.against,
            )
        )
    runs = [(run.title, run.figures(dataset)) for run in runs_to_do]
    model = runs_to_do[0].model_name
    print(f"\n{model}, {len(dataset.samples):,} images of {options.data}, in per cent:\n")
    print(markdown(runs, model))
    if options.json:
        document = {"model": model, "images": len(dataset.samples), "runs": {t: as_dict(f) for t, f in runs}}
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if options.plot:
        plot_curves(runs, options.plot)
        print(f"precision-recall curves: {options.plot}", file=sys.stderr)


def _first(dataset: Dataset, count: int) -> Dataset:
    return Dataset(dataset.samples[:count], dataset.class_names)


class _Run:
    """One of the one or two evaluations: a model in a profile, or on a running server."""

    def __init__(self, options: argparse.Namespace, profile: str | None, model: str | None) -> None:
        self._options = options
        self._profile = profile
        self._model = model
        self.title: str = (model if model == options.against else None) or profile or model or "served"
        self.model_name = model or ""

    def figures(self, dataset: Dataset) -> Figures:
        options = self._options
        with ExitStack() as stack:
            url, grpc = options.url, options.grpc
            if self._profile:
                repository = ["--model-repository", str(options.model_repository)] if options.model_repository else []
                url, grpc = stack.enter_context(served.started(self._profile, self._model, repository))
            model = served.find_model(url, self._model)
            self.model_name = model.name
            aligned = align(dataset, model.labels)
            predictor = served.through_gateway(url, model) if options.http else served.through_triton(grpc, model)
            predict = stack.enter_context(predictor)
            detections = served.detect_all(predict, aligned.samples, options.concurrency, self.title)
        return evaluate(aligned, detections, model.labels, options.max_detections)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Measure the COCO accuracy of a model, on a running server or on one that is started for it.",
    )
    parser.add_argument(
        "data", type=Path, help="COCO json, or a folder with images/ and labels/ (YOLO) or annotations/ (VisDrone)"
    )
    parser.add_argument("--images", type=Path, help="folder of the images, where it is not beside the labels")
    parser.add_argument("--format", choices=FORMATS, help="format of the labels (default: detected)")
    parser.add_argument("--model", help="name of a served model (default: the server's)")
    parser.add_argument(
        "--url",
        default=os.environ.get("SOD_URL") or "http://127.0.0.1:8080",
        help="a running gateway (default: SOD_URL, or http://127.0.0.1:8080)",
    )
    parser.add_argument("--grpc", default="127.0.0.1:8001", help="the running Triton behind it (default: %(default)s)")
    parser.add_argument("--http", action="store_true", help="measure through the gateway, not through Triton's gRPC")
    parser.add_argument("--profile", choices=_PROFILES, help="start a server in this profile instead of asking --url")
    parser.add_argument("--model-repository", type=Path, help="model repository of the server to start")
    parser.add_argument(
        "--against", metavar="PROFILE|MODEL", help="measure this one too, and print the difference (second - first)"
    )
    parser.add_argument(
        "--max-detections",
        type=int,
        default=100,
        help="the most detections per image and class; VisDrone counts 500 (default: %(default)s)",
    )
    parser.add_argument("--concurrency", type=int, default=4, help="requests under way at once (default: %(default)s)")
    parser.add_argument("--limit", type=int, help="number of images to measure (default: all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw precision-recall curves (png, svg, pdf)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
