"""Command line of `sod bench fleet`."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import section_run
from benchmarks.arguments import add_sections, whole
from benchmarks.fleet import dns, losses, scaling
from benchmarks.fleet.options import SECTIONS, Options
from benchmarks.fleet.report import markdown, targets

_MEASURE: dict[str, Callable[[Options], Any]] = {
    "kill": losses.kill,
    "freeze": losses.freeze,
    "rolling": losses.rolling,
    "slow": losses.slow,
    "dns": dns.measure,
    "scaling": scaling.measure,
}


def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.fleet.cli") -> int:
    """Measure, and print the report.

    Returns:
        0; 1 if a target is not met, or with a message on stderr if it is impossible; 130 after Ctrl-C or SIGTERM.
    """
    parsed = _parser(prog).parse_args(arguments)
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
        try:
            options.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            print(f"{prog}: {error}", file=sys.stderr)
            return 1
        stand_in = f"The detector is a stand-in that sleeps {parsed.sleep_ms:g} ms for an image.\n\n"
        return section_run.run(
            prog,
            options.sections,
            {name: partial(measure, options) for name, measure in _MEASURE.items()},
            markdown=lambda results: stand_in + markdown(results),
            targets=targets,
            problems={"dns": dns.problem},
            json_file=options.json,
        )


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Measure several Tritons behind gateways: one is killed, frozen, slow, all are restarted, a DNS "
        "name gets another address, and requests/s grow with the number of Tritons. All of them are started for it, "
        "on this machine, with a stand-in for the detector that sleeps. The exit status is 1 if a target is not met.",
    )
    add_sections(parser, SECTIONS)
    parser.add_argument("--clients", type=whole(), default=8, help="default: %(default)s")
    parser.add_argument("--seconds", type=whole(), default=20, help="of one measurement (default: %(default)s)")
    parser.add_argument("--rounds", type=whole(), default=3, help="of slow and scaling (default: %(default)s)")
    parser.add_argument("--sleep-ms", type=whole(), default=100, help="of the stand-in (default: %(default)s)")
    parser.add_argument(
        "--tritons", type=whole(), nargs="+", default=(1, 2, 4, 8), help="of section scaling (default: 1 2 4 8)"
    )
    parser.add_argument("--logs", type=Path, metavar="DIR", help="keep the logs here (default: they are removed)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
