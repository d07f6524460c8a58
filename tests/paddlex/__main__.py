"""Run PaddleX 3.7.2 and triton-sod side by side, and print what differs and is not in docs/paddlex-compat.md."""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.performance.baselines import paddlex
from benchmarks.performance.errors import BenchmarkError
from server.launching import StartError
from tests.export.tiny_model import make_tiny_paddle_model
from tests.paddlex import command, rest, sdk
from tests.paddlex.servers import both, named_l
from tests.paddlex.verdict import Verdict

SECTIONS = {"rest": rest.compare, "python": sdk.compare, "command": command.compare}
_PROGRESS_S = 5.0


def main() -> int:
    """Exit status 0 if nothing differs but what the page lists, 1 if something does, 2 if a server does not start."""
    options = _parser().parse_args()
    try:
        if options.install:
            paddlex.install()
        with tempfile.TemporaryDirectory(prefix="sod-paddlex-") as name:
            work = Path(name)
            model = options.model_dir or make_tiny_paddle_model(work / "tiny")
            print("starting PaddleX and triton-sod", file=sys.stderr, flush=True)
            with both(named_l(model, work / "paddle"), work) as contestants:
                verdicts = [
                    verdict
                    for section in options.sections
                    for verdict in _shown(section, SECTIONS[section](contestants, options.only), options.verbose)
                ]
    except (BenchmarkError, StartError) as error:
        print(f"compare-paddlex: {error}", file=sys.stderr)
        return 2
    wrong = [verdict for verdict in verdicts if not verdict.is_listed]
    listed = sum(verdict.row is not None and verdict.seen is not None for verdict in verdicts) - sum(
        verdict.row is not None for verdict in wrong
    )
    print(f"{len(verdicts)} cases: {listed} differ as docs/paddlex-compat.md says, {len(wrong)} in another way")
    return 1 if wrong or not verdicts else 0


def _shown(section: str, verdicts: Iterable[Verdict], verbose: bool) -> list[Verdict]:
    """All verdicts; prints those that are not listed at once, and the progress to stderr."""
    seen = []
    printed = time.monotonic()
    for verdict in verdicts:
        seen.append(verdict)
        if not verdict.is_listed or (verbose and verdict.seen):
            print(f"{'NOT LISTED' if not verdict.is_listed else 'listed'}  {verdict.case}: {verdict.seen}", flush=True)
        if time.monotonic() - printed > _PROGRESS_S:
            printed = time.monotonic()
            print(f"{section}: {len(seen)} cases", file=sys.stderr, flush=True)
    print(f"{section}: {len(seen)} cases, done", file=sys.stderr, flush=True)
    return seen


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make compare-paddlex", description=__doc__)
    parser.add_argument("--install", action="store_true", help="first install PaddleX in .cache/paddlex (1.8 GB)")
    parser.add_argument(
        "--model-dir", type=Path, help="a Paddle inference model in PaddleX's form (default: a tiny one, made here)"
    )
    parser.add_argument(
        "--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="parts to run (default: all)"
    )
    parser.add_argument("--only", default="", help="run only cases whose name has this text")
    parser.add_argument("--verbose", action="store_true", help="also print the differences that the page lists")
    return parser


if __name__ == "__main__":
    sys.exit(main())
