"""Command line of `sod bench gpu-day`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.arguments import number, whole
from benchmarks.gpu_day import parcels, report
from benchmarks.gpu_day.options import BUDGETS, MODELS, STEPS, Options
from benchmarks.gpu_day.run import run
from benchmarks.performance.errors import BenchmarkError

_ROOT = Path(__file__).parents[2]
_PART_MIB = 48
_BUDGET_S = 570


def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.gpu_day.cli") -> int:
    """Run, pack or unpack.

    Returns:
        0; 1 if a target is not met, or with a message on stderr if it is impossible; 130 after Ctrl-C.
    """
    parsed = _parser(prog).parse_args(arguments)
    try:
        return int(parsed.act(parsed))
    except (BenchmarkError, OSError) as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(parsed: argparse.Namespace) -> int:
    folder = parsed.out.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if not parsed.image.is_file():
        raise BenchmarkError(f"{parsed.image} is not a file: name an image with --image")
    options = Options(
        pretend=parsed.pretend,
        models=tuple(parsed.models),
        repository=parsed.model_repository.absolute(),
        image=parsed.image.absolute(),
        folder=folder,
        seconds=parsed.seconds,
    )
    results = run(options, [name for name in STEPS if name in parsed.steps], parsed.budget)
    text = report.markdown(results, pretend=options.pretend)
    if report.draw(results, folder / "gpu-day.png", pretend=options.pretend):
        text += "\n![milliseconds of one image](gpu-day.png)\n"
    (folder / "gpu-day.md").write_text(text, encoding="utf-8")
    print(text, end="")
    print(f"written: {folder / 'gpu-day.md'}", file=sys.stderr)
    return 0 if options.pretend or all(target.met for target in report.targets(results)) else 1


def _pack(parsed: argparse.Namespace) -> int:
    for file in parcels.pack(parsed.wheels, parsed.folder, parsed.part_mib << 20):
        print(f"{file} {file.stat().st_size / 2**20:.1f} MiB")
    return 0


def _unpack(parsed: argparse.Namespace) -> int:
    wheels = parcels.unpack(parsed.folder, parsed.wheels)
    if parsed.install:
        parcels.install(wheels)
    print("\n".join(str(wheel) for wheel in wheels))
    return 0


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Measure everything that needs a GPU, within ten minutes and without a network: "
        "the detector by precision and batch, TensorRT if it is there, the embedded Triton with the gateway, with and "
        "without overlay, and 4K frames in slices. A step that fails or takes too long is a line of the report.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("run", help="measure, and write the report", description="Measure, and write it.")
    command.set_defaults(act=_run)
    command.add_argument("--pretend", action="store_true", help="run the same steps in ONNX Runtime's CPU provider")
    command.add_argument("--models", nargs="+", default=MODELS, metavar="NAME", help=f"default: {' '.join(MODELS)}")
    command.add_argument("--model-repository", type=Path, default=_ROOT / "model_repository", metavar="DIR")
    command.add_argument(
        "--image", type=Path, default=_ROOT / "docs" / "examples" / "minsk-crossing.jpg", metavar="FILE"
    )
    command.add_argument(
        "--steps", nargs="+", choices=STEPS, default=STEPS, metavar="STEP", help=f"any of {', '.join(STEPS)}"
    )
    command.add_argument(
        "--seconds", type=number(0.1, 60), default=3.0, help="of one measurement under load (default: %(default)g)"
    )
    command.add_argument(
        "--budget",
        type=number(1, 3600),
        default=_BUDGET_S,
        metavar="SECONDS",
        help="of all steps; each also has its own: "
        + ", ".join(f"{step} {seconds}" for step, seconds in BUDGETS.items())
        + " (default: %(default)g)",
    )
    command.add_argument("--out", type=Path, default=Path("output/gpu-day"), metavar="DIR", help="default: %(default)s")
    command = commands.add_parser(
        "pack",
        help="cut wheels into parts that may be carried along",
        description="Cut wheels, such as those of `pip download -d wheels onnxruntime-gpu`, into parts under a size.",
    )
    command.set_defaults(act=_pack)
    command.add_argument("folder", type=Path, metavar="FOLDER", help="for the parts; empty or absent")
    command.add_argument("wheels", type=Path, nargs="+", metavar="WHEEL", help="file, or folder of wheels")
    command.add_argument("--part-mib", type=whole(), default=_PART_MIB, metavar="N", help="default: %(default)s")
    command = commands.add_parser(
        "unpack", help="join and check the parts of `pack`", description="Join and check the parts, and install them."
    )
    command.set_defaults(act=_unpack)
    command.add_argument("folder", type=Path, metavar="FOLDER", help="of the parts")
    command.add_argument("wheels", type=Path, metavar="WHEELS", help="folder for the wheels")
    command.add_argument("--install", action="store_true", help="install them with pip, without a network")
    return parser


if __name__ == "__main__":
    sys.exit(main())
