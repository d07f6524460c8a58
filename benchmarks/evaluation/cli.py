"""Command line of `sod eval`."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.evaluation import served
from benchmarks.evaluation.classes import align, match, renumbered
from benchmarks.evaluation.datasets import read_dataset
from benchmarks.evaluation.errors import EvaluationError
from benchmarks.evaluation.metrics import ModelClasses, evaluate
from benchmarks.evaluation.report import as_dict, markdown, plot_curves
from sod.datasets.dataset import Dataset
from sod.datasets.reader import FORMATS, SPLITS
from sod.detections import Detections

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
    dataset = read_dataset(options.data, options.format, options.images, options.split)
    if options.limit:
        dataset = Dataset(dataset.images[: options.limit], dataset.class_names)
    runs = [_Run(options, options.profile, options.model)]
    if options.against in _PROFILES:
        runs.append(_Run(options, options.against, options.model))
    elif options.against:
        runs.append(_Run(options, options.profile, options.against))
    _check_classes(runs, dataset)
    for run in runs:
        run.detect(dataset)
    matched = match(dataset, [run.model.labels for run in runs])
    titles = [run.title for run in runs]
    figures = [
        evaluate(
            matched.dataset,
            [renumbered(found, mapping) for found in run.detections],
            matched.names,
            options.max_detections,
            ModelClasses(known, matched.counted),
        )
        for run, mapping, known in zip(runs, matched.mappings, matched.known, strict=True)
    ]
    measured = list(zip(titles, figures, strict=True))
    model = runs[0].model.name
    only = matched.only_one_has(titles)
    print(f"\n{model}, {len(dataset.images):,} images of {options.data}, in per cent:\n")
    print(markdown(measured, model))
    for line in only:
        print(line)
    if options.json:
        document = {
            "model": model,
            "images": len(dataset.images),
            "notes": only,
            "runs": {title: as_dict(one) for title, one in measured},
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if options.plot:
        plot_curves(measured, options.plot)
        print(f"precision-recall curves: {options.plot}", file=sys.stderr)


def _check_classes(runs: Sequence["_Run"], dataset: Dataset) -> None:
    """Match the classes before anything is measured, where the models are served already."""
    if dataset.class_names is None and len(runs) > 1:
        print("note: the labels have no class names; their ids are taken as the first model's", file=sys.stderr)
    if not any(run.profile for run in runs):
        match(dataset, [run.find(run.options.url).labels for run in runs])


class _Run:
    """One of the one or two evaluations: a model in a profile, or on a running server.

    Attributes:
        options: the command line.
        profile: the profile of the server to start; None for the running one.
        model: the model, once it is found.
        detections: of each image, once they are measured.
    """

    model: served.Model
    detections: list[Detections]

    def __init__(self, options: argparse.Namespace, profile: str | None, name: str | None) -> None:
        self.options = options
        self.profile = profile
        self._name = name

    @property
    def title(self) -> str:
        """The profile where profiles are compared, else the model's name."""
        compares_models = self.options.against and self.options.against not in _PROFILES
        return self.model.name if compares_models or not self.profile else self.profile

    def find(self, url: str) -> served.Model:
        """Find the model on the server at `url`."""
        self.model = served.find_model(url, self._name)
        return self.model

    def detect(self, dataset: Dataset) -> None:
        """Detect the objects of every image, on a server that is started for it where there is a profile."""
        options = self.options
        with ExitStack() as stack:
            url, grpc = options.url, options.grpc
            if self.profile:
                repository = ["--model-repository", str(options.model_repository)] if options.model_repository else []
                url, grpc = stack.enter_context(served.started(self.profile, self._name, repository))
            model = self.find(url)
            if not options.against or options.against in _PROFILES:
                align(dataset, model.labels)
            predictor = served.through_gateway(url, model) if options.http else served.through_triton(grpc, model)
            predict = stack.enter_context(predictor)
            self.detections = served.detect_all(predict, dataset.images, options.concurrency, self.title)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Measure the COCO accuracy of a model, on a running server or on one that is started for it.",
    )
    parser.add_argument(
        "data", type=Path, help="folder of a COCO, YOLO, VOC or VisDrone data set, a COCO JSON file or a data.yaml"
    )
    parser.add_argument("--split", choices=SPLITS, help="the split to measure (default: val, else test, else train)")
    parser.add_argument("--images", type=Path, help="folder of the images, where it is not beside the labels")
    parser.add_argument("--format", choices=FORMATS, help="format of the labels (default: recognised)")
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
