"""Command line of `sod eval`."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sod_client._cli.console import plural
from sod_client._cli.options import add_slices, with_flags_last

from benchmarks.arguments import whole
from benchmarks.evaluation.classes import match, renumbered
from benchmarks.evaluation.confusion import MIN_IOU, MIN_SCORE, confusion_matrix
from benchmarks.evaluation.datasets import read_dataset
from benchmarks.evaluation.errors import EvaluationError
from benchmarks.evaluation.metrics import ModelClasses, evaluate
from benchmarks.evaluation.plots import plot_confusion, plot_f1, plot_precision
from benchmarks.evaluation.report import as_dict, confusion_markdown, markdown
from benchmarks.evaluation.runs import SLICES, WHOLE, Run, detect, plan
from server.devices import PROFILES
from sod.datasets.dataset import Dataset
from sod.datasets.reader import FORMATS, SPLITS

_PLOT_SUFFIXES = (".png", ".svg", ".pdf")


def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.evaluation.cli") -> int:
    """Evaluate and print the metrics.

    Returns:
        0; 1 with a message on stderr if the evaluation is impossible.
    """
    options = _parser(prog).parse_args(with_flags_last(sys.argv[1:] if arguments is None else arguments))
    try:
        _run(options)
    except EvaluationError as error:
        print(f"sod eval: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"sod eval: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace) -> None:
    dataset = read_dataset(options.data, options.format, options.images, options.split)
    if options.limit:
        dataset = Dataset(dataset.images[: options.limit], dataset.class_names)
    runs = plan(options)
    _check_classes(runs, dataset)
    detect(runs, dataset)
    matched = match(dataset, [run.model.labels for run in runs])
    figures, matrices = [], []
    for run, mapping, known in zip(runs, matched.mappings, matched.known, strict=True):
        found = [renumbered(one, mapping) for one in run.detections]
        classes = ModelClasses(known, matched.counted)
        figures.append((run.title, evaluate(matched.dataset, found, matched.names, options.max_detections, classes)))
        matrix = confusion_matrix(
            matched.dataset,
            found,
            matched.names,
            min_score=options.confusion_score,
            min_iou=options.confusion_iou,
            labelled_classes=matched.labelled,
        )
        matrices.append((run.title, matrix))
    model = runs[0].model.name
    notes = matched.only_one_has([run.title for run in runs])
    notes += [
        f'{run.title}: measured with "slice": {json.dumps(run.slices)} in the requests.' for run in runs if run.slices
    ]
    print(f"\n{model}, {plural(len(dataset.images), 'image')} of {options.data}, in per cent:\n")
    print(markdown(figures, model))
    for title, matrix in matrices:
        print(confusion_markdown(title, matrix))
    for line in notes:
        print(line)
    if options.json:
        document = {
            "model": model,
            "images": len(dataset.images),
            "notes": notes,
            "runs": {title: as_dict(one, matrix) for (title, one), (_, matrix) in zip(figures, matrices, strict=True)},
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if options.plot:
        f1, confusion = (options.plot.with_stem(f"{options.plot.stem}_{name}") for name in ("f1", "confusion"))
        plot_precision(figures, options.plot)
        plot_f1(figures, f1)
        plot_confusion(matrices, confusion)
        print(f"curves and confusion matrix: {options.plot}, {f1}, {confusion}", file=sys.stderr)


def _check_classes(runs: Sequence[Run], dataset: Dataset) -> None:
    """Match the classes before anything is measured, where the models are served already."""
    if dataset.class_names is None and len({run.name for run in runs}) > 1:
        print("note: the labels have no class names; their ids are taken as the first model's", file=sys.stderr)
    if not any(run.profile for run in runs):
        match(dataset, [run.find(run.options.url).labels for run in runs])


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Measure the COCO accuracy of a model, on a running server or on one that is started for it.",
    )
    parser.add_argument(
        "data", type=Path, help="folder of a COCO, YOLO, VOC or VisDrone data set, a COCO JSON file or a data.yaml"
    )
    parser.add_argument(
        "--split",
        choices=SPLITS,
        help="the split to measure (default: val, else test, else all images, else train)",
    )
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
    parser.add_argument("--profile", choices=PROFILES, help="start a server in this profile instead of asking --url")
    parser.add_argument("--model-repository", type=Path, help="model repository of the server to start")
    parser.add_argument(
        "--against",
        metavar="PROFILE|MODEL|slices|whole",
        help="measure this one too, and print the difference (second - first): another profile or model, or the same "
        f"model in {SLICES}, or with --slice_infer {WHOLE}",
    )
    parser.add_argument(
        "--max-detections",
        type=whole(),
        default=100,
        help="the most detections per image and class; VisDrone counts 500 (default: %(default)s)",
    )
    add_slices(parser.add_argument_group("sliced inference, through the gateway"), of_files=False)
    parser.add_argument(
        "--confusion-score",
        type=_share,
        default=MIN_SCORE,
        metavar="S",
        help="score from which on detections count in the confusion matrix (default: %(default)s)",
    )
    parser.add_argument(
        "--confusion-iou",
        type=_share,
        default=MIN_IOU,
        metavar="T",
        help="IoU over which a detection and a label match in the confusion matrix (default: %(default)s)",
    )
    parser.add_argument(
        "--concurrency", type=whole(), default=4, help="requests under way at once (default: %(default)s)"
    )
    parser.add_argument("--limit", type=whole(), help="number of images to measure (default: all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    parser.add_argument(
        "--plot",
        type=_plot_file,
        metavar="FILE",
        help="draw precision-recall curves (png, svg, pdf), and beside them NAME_f1 and NAME_confusion",
    )
    return parser


def _plot_file(text: str) -> Path:
    if Path(text).suffix.lower() not in _PLOT_SUFFIXES:
        raise argparse.ArgumentTypeError(f"{text} must end in {', '.join(_PLOT_SUFFIXES)}")
    return Path(text)


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
