"""Command line of `sod bench slices`."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.arguments import add_sections, whole
from benchmarks.evaluation.errors import EvaluationError
from benchmarks.performance import machine, other_programs
from benchmarks.performance.errors import BenchmarkError
from benchmarks.performance.options import CPU_PROFILES
from benchmarks.slices import accuracy, load, merging, speed
from benchmarks.slices.options import SECTIONS, Options
from benchmarks.slices.report import markdown
from server.launching import StartError

_REPOSITORY = Path(__file__).parents[2] / "model_repository"
_MEASURE: dict[str, Callable[[Options], Any]] = {
    "accuracy": accuracy.measure_labelled,
    "scenes": accuracy.measure_scenes,
    "merge": merging.measure,
    "speed": speed.measure,
    "memory": load.measure_memory,
    "latency": load.measure_latency,
}


def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.slices.cli") -> int:
    """Measure, and print the report.

    Returns:
        0; 1 with a message on stderr if it is impossible.
    """
    options = _options(_parser(prog).parse_args(arguments))
    document: dict[str, Any] = {"machine": machine.describe(), "other_programs": {}, "results": {}}
    try:
        for name in options.sections:
            if name == "accuracy" and options.labels is None:
                print("accuracy: left out, because there are no --labels", file=sys.stderr)
                continue
            print(f"slices: {name}", file=sys.stderr, flush=True)
            document["other_programs"][name] = other_programs.sample()
            document["results"][name] = _MEASURE[name](options)
            if options.json:
                options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    except (BenchmarkError, EvaluationError, StartError) as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 1
    busy = {name: f"{one['busy']:.0%}" for name, one in document["other_programs"].items()}
    print(markdown(document["results"]))
    print(f"Processors used by other programs before each section: {busy}; load average {_load()}.")
    return 0


def _load() -> float:
    return float(other_programs.sample(0.1)["load_average"])


def _options(parsed: argparse.Namespace) -> Options:
    return Options(
        sections=tuple(parsed.sections),
        repository=parsed.model_repository.absolute(),
        model=parsed.model,
        speed_model=parsed.speed_model,
        profiles=tuple(parsed.profiles),
        labels=parsed.labels,
        images=parsed.images,
        class_name=parsed.class_name,
        sizes=tuple(parsed.sizes),
        rounds=parsed.rounds,
        seconds=parsed.seconds,
        mosaics=parsed.mosaics,
        side=parsed.side,
        json=parsed.json,
    )


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Measure sliced inference: accuracy, speed beside the engine alone and SAHI, memory, and the "
        "latency of small images beside a huge one. Servers are started for it.",
    )
    add_sections(parser, SECTIONS)
    parser.add_argument("--labels", type=Path, metavar="DATA", help="labelled images, in a format of sod eval")
    parser.add_argument("--images", type=Path, metavar="DIR", help="their folder, where it is not beside the labels")
    parser.add_argument("--class-name", default="car", help="class whose AP is compared (default: %(default)s)")
    parser.add_argument("--sizes", type=whole(32), nargs="+", default=(640, 320), help="sides of slices, in pixels")
    parser.add_argument("--mosaics", type=whole(), default=2, help="mosaics of 16 drawn scenes (default: %(default)s)")
    parser.add_argument("--model", default="PP-YOLOE_plus_SOD-demo", help="ensemble (default: %(default)s)")
    parser.add_argument(
        "--speed-model", default="PP-YOLOE_plus_SOD-S", help="ensemble of the section speed (default: %(default)s)"
    )
    parser.add_argument(
        "--profiles",
        nargs="+",
        choices=CPU_PROFILES,
        default=("cpu_high_performance",),
        metavar="PROFILE",
        help="profiles of OpenVINO; memory and latency are measured in the first (default: cpu_high_performance)",
    )
    parser.add_argument("--model-repository", type=Path, default=_REPOSITORY, metavar="DIR")
    parser.add_argument("--rounds", type=whole(), default=3, help="default: %(default)s")
    parser.add_argument(
        "--seconds", type=whole(), default=10, help="of a measurement of throughput or latency (default: %(default)s)"
    )
    parser.add_argument("--side", type=whole(32), default=8192, help="of the image of section memory, in pixels")
    return parser


if __name__ == "__main__":
    sys.exit(main())
