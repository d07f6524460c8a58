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
from server.devices import PROFILES

ROOT = Path(__file__).parents[2]
_REPOSITORY = ROOT / "model_repository"
_QUICK_SECONDS = 1.0


def main(
    arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.performance.cli", epilog: str = ""
) -> int:
    """Measure and write the report.

    Args:
        arguments: of the command line; None takes those of the process.
        prog: name of the command as the user knows it.
        epilog: text at the end of the help.

    Returns:
        0; 1 with a message on stderr if it is impossible; 130 after Ctrl-C or SIGTERM.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    parsed = _parser(prog, epilog).parse_args(words)
    previous_handler = signal.signal(signal.SIGTERM, _raise_keyboard_interrupt)
    try:
        if parsed.install_paddlex:
            install_paddlex()
        with tempfile.TemporaryDirectory(prefix="sod-bench-") as folder:
            run.run(_options(parsed, Path(folder)), resume=parsed.resume, command=shlex.join([*prog.split(), *words]))
    except (BenchmarkError, ExportError) as error:
        print(f"sod bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nsod bench: stopped; finished sections are kept, and --resume continues", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, previous_handler)
    return 0


def _raise_keyboard_interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _options(parsed: argparse.Namespace, folder: Path) -> Options:
    images = find_images(parsed.images) if parsed.images else [_synthetic_image(folder)]
    concurrency = parsed.concurrency or ([1, 8] if parsed.quick else [1, 2, 4, 8, 16])
    default_sections = ("load",) if parsed.quick else tuple(name for name in SECTIONS if name != "soak" or parsed.soak)
    return Options(
        repository=parsed.model_repository.absolute(),
        models=tuple(parsed.models or []),
        profiles=tuple(parsed.profiles or (_default_profiles()[:1] if parsed.quick else _default_profiles())),
        images=tuple(images),
        labels=parsed.labels,
        paddlex=parsed.paddlex,
        sections=tuple(parsed.sections or default_sections),
        concurrency=tuple(sorted(set(concurrency))),
        rounds=parsed.rounds or (1 if parsed.quick else 3),
        seconds=parsed.seconds or (_QUICK_SECONDS if parsed.quick else 6.0),
        threshold=parsed.threshold,
        soak_minutes=parsed.soak,
        out=parsed.out,
        quick=parsed.quick,
    )


def _synthetic_image(folder: Path) -> Path:
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
        description="Measure the server on this machine, compare it with its inference engine alone and with PaddleX, "
        "and check the targets.",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="measure one model in one profile for about a minute: one short round of the section load. Without a "
        "verdict where other programs use the processors",
    )
    parser.add_argument(
        "--models", nargs="+", metavar="NAME", help="ensembles to measure (default: all that can be served)"
    )
    parser.add_argument(
        "--profiles",
        nargs="+",
        choices=PROFILES,
        metavar="PROFILE",
        help=f"any of {', '.join(PROFILES)} (default: the CPU's, and the GPU's if there is one)",
    )
    parser.add_argument("--model-repository", type=Path, default=_REPOSITORY, metavar="DIR")
    parser.add_argument(
        "--images",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="images or folders of images; the targets refer to the first (default: a synthetic image of 1360x765)",
    )
    parser.add_argument("--labels", type=Path, metavar="DATA", help="labelled images for AP, in a format of sod eval")
    parser.add_argument(
        "--paddlex",
        type=Path,
        metavar="DIR",
        help="also measure PaddleX, with the Paddle inference models in this folder (make bench-paddlex)",
    )
    parser.add_argument(
        "--install-paddlex", action="store_true", help="first install PaddleX in .cache/paddlex (1.8 GB)"
    )
    parser.add_argument(
        "--sections",
        nargs="+",
        choices=SECTIONS,
        metavar="SECTION",
        help=f"any of {', '.join(SECTIONS)} (default: all, but soak only with --soak)",
    )
    parser.add_argument(
        "--concurrency", type=_positive(int), nargs="+", metavar="N", help="numbers of clients (default: 1 2 4 8 16)"
    )
    parser.add_argument("--rounds", type=_positive(int), help="how often everything is measured (default: 3)")
    parser.add_argument("--seconds", type=_positive(float), help="duration of each measurement (default: 6)")
    parser.add_argument("--threshold", type=float, default=0.5, help="score threshold of every class (default: 0.5)")
    parser.add_argument(
        "--soak",
        type=float,
        default=0.0,
        metavar="MINUTES",
        help="record memory for so long under load at 8 clients (default: not recorded)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("output/bench"),
        metavar="DIR",
        help="folder for report.md, results.json, plots and logs (default: output/bench)",
    )
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run: keep the results in --out")
    return parser


if __name__ == "__main__":
    sys.exit(main())
