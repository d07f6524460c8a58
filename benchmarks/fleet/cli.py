"""Command line of `sod bench fleet`."""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.arguments import whole
from benchmarks.fleet import dns, losses, scaling
from benchmarks.fleet.options import SECTIONS, Options
from benchmarks.fleet.report import markdown, targets
from benchmarks.performance import machine, other_programs
from benchmarks.performance.errors import BenchmarkError
from server.errors import ServerError
from server.launching import StartError

_MEASURE: dict[str, Callable[[Options], Any]] = {
    "kill": losses.kill,
    "freeze": losses.freeze,
    "rolling": losses.rolling,
    "slow": losses.slow,
    "dns": dns.measure,
    "scaling": scaling.measure,
}
_BAR = 24


def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.fleet.cli") -> int:
    """Measure, and print the report.

    Returns:
        0; 1 if a target is not met, or with a message on stderr if it is impossible; 130 after Ctrl-C or SIGTERM.
    """
    parsed = _parser(prog).parse_args(arguments)
    previous_handler = signal.signal(signal.SIGTERM, _raise_keyboard_interrupt)
    try:
        return _run(parsed, prog)
    except KeyboardInterrupt:
        return 130
    finally:
        signal.signal(signal.SIGTERM, previous_handler)


def _raise_keyboard_interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run(parsed: argparse.Namespace, prog: str) -> int:
    with tempfile.TemporaryDirectory(prefix="sod-fleet-") as temporary:
        options = Options(
            sections=tuple(dict.fromkeys(parsed.sections)),
            clients=parsed.clients,
            seconds=parsed.seconds,
            rounds=parsed.rounds,
            sleep_s=parsed.sleep_ms / 1000,
            counts=tuple(sorted(set(parsed.tritons))),
            folder=parsed.logs.absolute() if parsed.logs else Path(temporary),
            json=parsed.json,
        )
        document: dict[str, Any] = {"machine": machine.describe(), "other_programs": {}, "results": {}}
        try:
            options.folder.mkdir(parents=True, exist_ok=True)
            _measure(options, document)
        except (BenchmarkError, ServerError, StartError, OSError) as error:
            print(f"{prog}: {error}", file=sys.stderr)
            return 1
    results = document["results"]
    print(f"The detector is a stand-in that sleeps {parsed.sleep_ms:g} ms for an image.\n")
    print(markdown(results))
    busy = {name: f"{one['busy']:.0%}" for name, one in document["other_programs"].items()}
    print(f"Processors used by other programs before each section: {busy}.")
    return 0 if all(target.met for target in targets(results)) else 1


def _measure(options: Options, document: dict[str, Any]) -> None:
    for number, name in enumerate(options.sections):
        done = _BAR * number // len(options.sections)
        bar = "█" * done + "·" * (_BAR - done)
        print(f"fleet {bar} {number}/{len(options.sections)} {name}", file=sys.stderr, flush=True)
        if name == "dns" and (problem := dns.problem()):
            print(f"left out: {problem}", file=sys.stderr)
            continue
        document["other_programs"][name] = other_programs.sample()
        document["results"][name] = _MEASURE[name](options)
        if options.json:
            options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Measure several Tritons behind gateways: one is killed, frozen, slow, all are restarted, a DNS "
        "name gets another address, and requests/s grow with the number of Tritons. All of them are started for it, "
        "on this machine, with a stand-in for the detector that sleeps. The exit status is 1 if a target is not met.",
    )
    parser.add_argument(
        "--sections", nargs="+", choices=SECTIONS, default=SECTIONS, metavar="SECTION", help=f"any of {SECTIONS}"
    )
    parser.add_argument("--clients", type=whole(), default=8, help="default: %(default)s")
    parser.add_argument("--seconds", type=whole(), default=20, help="of one measurement (default: %(default)s)")
    parser.add_argument("--rounds", type=whole(), default=3, help="of slow and scaling (default: %(default)s)")
    parser.add_argument("--sleep-ms", type=whole(), default=100, help="of the stand-in (default: %(default)s)")
    parser.add_argument(
        "--tritons", type=whole(), nargs="+", default=(1, 2, 4, 8), help="of section scaling (default: 1 2 4 8)"
    )
    parser.add_argument("--logs", type=Path, metavar="DIR", help="keep the logs here (default: they are removed)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    return parser


if __name__ == "__main__":
    sys.exit(main())
