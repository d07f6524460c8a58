"""Command line of `sod bench`."""

import argparse
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import cv2

from benchmarks.performance import run
from benchmarks.performance.baselines.paddlex import install as install_paddlex
from benchmarks.performance.errors import BenchmarkError
from benchmarks.performance.options import CPU_PROFILES, GPU_PROFILES, SECTIONS, Options
from export.errors import ExportError
from export.verification.images import find_images, synthetic_image

ROOT = Path(__file__).parents[2]
_REPOSITORY = ROOT / "model_repository"
_QUICK_SECONDS = 1.0


def main(
    arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.performance.cli", epilog: str = ""
) -> int:
    """Measure and write the report; 0, 1 with a sentence if it cannot be done, 130 after Ctrl-C."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    asked = _parser(prog, epilog).parse_args(words)
    earlier = signal.signal(signal.SIGTERM, _stop)
    try:
        if asked.install_paddlex:
            install_paddlex()
        with tempfile.TemporaryDirectory(prefix="sod-bench-") as made:
            run.run(_options(asked, Path(made)), resume=asked.resume, command=shlex.join([*prog.split(), *words]))
    except (BenchmarkError, ExportError) as error:
        print(f"sod bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nsod bench: stopped; sections that are done are kept, --resume goes on", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, earlier)
    return 0


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _options(asked: argparse.Namespace, made: Path) -> Options:
    images = find_images(asked.images) if asked.images else [_made_image(made)]
    concurrency = asked.concurrency or ([1, 8] if asked.quick else [1, 2, 4, 8, 16])
    every = ("load",) if asked.quick else tuple(name for name in SECTIONS if name != "soak" or asked.soak)
    return Options(
        repository=asked.model_repository.absolute(),
        models=tuple(asked.models or []),
        profiles=tuple(asked.profiles or _default_profiles()),
        images=tuple(images),
        labels=asked.labels,
        paddlex=asked.paddlex,
        sections=tuple(asked.sections or every),
        concurrency=tuple(sorted(set(concurrency))),
        rounds=asked.rounds or (1 if asked.quick else 3),
        seconds=asked.seconds or (_QUICK_SECONDS if asked.quick else 6.0),
        threshold=asked.threshold,
        soak_minutes=asked.soak,
        out=asked.out,
        quick=asked.quick,
    )


def _made_image(folder: Path) -> Path:
    path = folder / "synthetic.jpg"
    cv2.imwrite(str(path), synthetic_image(765, 1360))
    return path


def _default_profiles() -> tuple[str, ...]:
    return GPU_PROFILES + CPU_PROFILES if Path("/dev/nvidiactl").exists() else CPU_PROFILES


def _positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = kind(text)
        if value <= 0:
            raise argparse.ArgumentTypeError(f"{text} is not greater than 0")
        return value

    return number


def _parser(prog: str, epilog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measure what the server does on this machine, beside the engine alone and the targets.",
    )
    parser.add_argument("--quick", action="store_true", help="one short round of the load alone")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="ensembles (default: all whose files are there)")
    parser.add_argument(
        "--profiles",
        nargs="+",
        choices=CPU_PROFILES + GPU_PROFILES,
        metavar="PROFILE",
        help=f"of {', '.join(CPU_PROFILES + GPU_PROFILES)} (default: the CPU's, and a GPU's where there is one)",
    )
    parser.add_argument("--model-repository", type=Path, default=_REPOSITORY, metavar="DIR")
    parser.add_argument(
        "--images",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="images, or folders of them; the first is the one of the targets (default: a made one of 1360x765)",
    )
    parser.add_argument("--labels", type=Path, metavar="DATA", help="labelled images for mAP, as sod eval takes them")
    parser.add_argument(
        "--paddlex",
        type=Path,
        metavar="DIR",
        help="measure PaddleX, too, with the Paddle inference models in this folder (make bench-paddlex)",
    )
    parser.add_argument(
        "--install-paddlex", action="store_true", help="first install PaddleX in .cache/paddlex (1.8 GB)"
    )
    parser.add_argument(
        "--sections",
        nargs="+",
        choices=SECTIONS,
        metavar="SECTION",
        help=f"of {', '.join(SECTIONS)} (default: all; soak with --soak)",
    )
    parser.add_argument("--concurrency", type=_positive(int), nargs="+", metavar="N", help="default: 1 2 4 8 16")
    parser.add_argument("--rounds", type=_positive(int), help="default: 3")
    parser.add_argument("--seconds", type=_positive(float), help="of each turn; default: 6")
    parser.add_argument("--threshold", type=float, default=0.5, help="score threshold (default: 0.5)")
    parser.add_argument(
        "--soak",
        type=float,
        default=0.0,
        metavar="MINUTES",
        help="of load at 8 while memory is watched (default: none)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("output/bench"),
        metavar="DIR",
        help="for report.md, results.json, plots and logs (default: output/bench)",
    )
    parser.add_argument("--resume", action="store_true", help="go on with the results in --out: what is measured stays")
    return parser


if __name__ == "__main__":
    sys.exit(main())
