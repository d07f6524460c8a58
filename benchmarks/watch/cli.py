"""Command line of `sod bench watch`."""

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import section_run, servers
from benchmarks.arguments import add_sections, number, whole
from benchmarks.watch.options import SECTIONS, Options
from benchmarks.watch.report import markdown, targets

_PACKAGES = {
    "tracking": ("scipy", "numpy"),
    "counting": ("scipy", "numpy"),
    "lag": ("av", "cv2"),
    "memory": ("av", "cv2"),
    "cpu": ("av", "cv2"),
    "throughput": ("av", "cv2"),
    "detector": ("av", "cv2"),
    "still": ("av", "cv2"),
}


def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.watch.cli") -> int:
    """Measure, and print the report.

    Returns:
        0; 1 if a target is not met, or with a message on stderr if it is impossible; 130 after Ctrl-C or SIGTERM.
    """
    parsed = _parser(prog).parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sod-watch-") as temporary, ExitStack() as stack:
        options = Options(
            sections=tuple(dict.fromkeys(parsed.sections)),
            model=parsed.model,
            profile=parsed.profile,
            url=parsed.url,
            seconds=parsed.seconds,
            film_seed=parsed.film_seed,
            seeds=parsed.seeds,
            lag_seconds=parsed.lag_seconds,
            stream_seconds=parsed.stream_seconds,
            rounds=parsed.rounds,
            concurrency=parsed.concurrency,
            folder=parsed.film_folder.absolute() if parsed.film_folder else Path(temporary),
            json=parsed.json,
        )
        try:
            options.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            print(f"{prog}: {options.folder} cannot be made: {error.strerror}", file=sys.stderr)
            return 1
        return section_run.run(
            prog,
            options.sections,
            _measures(options, stack),
            markdown=markdown,
            targets=targets,
            problems={name: lambda name=name: _problem(name) for name in SECTIONS},  # type: ignore[misc]
            json_file=options.json,
        )


def _measures(options: Options, stack: ExitStack) -> dict[str, Callable[[], Any]]:
    urls: list[str] = []

    def served(name: str) -> Any:
        # Imported here: each section needs packages that the others do not.
        from benchmarks.watch import film, served  # noqa: PLC0415

        # Before the server is started, which would only wait.
        film.film(options.folder, options.seconds, options.film_seed)
        if not urls:
            log = options.folder / "server.log"
            server = servers.named_or_started(options.url, options.profile, options.model, log)
            urls.append(stack.enter_context(server))
        return getattr(served, f"measure_{name}")(options, urls[0])

    def made(name: str) -> Any:
        from benchmarks.watch import tracking  # noqa: PLC0415

        return tracking.measure(options) if name == "tracking" else tracking.count(options)

    def cost() -> Any:
        from benchmarks.watch import cost  # noqa: PLC0415

        return cost.measure(options)

    def live(name: str) -> Any:
        from benchmarks.watch import live  # noqa: PLC0415

        return live.measure_lag(options) if name == "lag" else live.measure_memory(options)

    return {
        "tracking": lambda: made("tracking"),
        "counting": lambda: made("counting"),
        "lag": lambda: live("lag"),
        "memory": lambda: live("memory"),
        "cpu": cost,
        "throughput": lambda: served("throughput"),
        "detector": lambda: served("detector"),
        "still": lambda: served("still"),
    }


def _problem(section: str) -> str:
    missing = [name for name in _PACKAGES[section] if importlib.util.find_spec(name) is None]
    return f"{section} needs the Python module {missing[0]}, as `make bench` installs it" if missing else ""


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Measure `sod watch`: tracking beside supervision's ByteTrack and counting on made boxes; with a "
        "stand-in for the server, how old the results of a fast stream are, and memory over an hour of a stream at ten "
        "times its speed; on a drawn film the client's processor time, frames a second beside raw requests, crossings "
        "with the model's detections, and what --skip_still costs. A server is started for the last three, unless "
        "--url is given. Drawing 30 s of film takes some minutes. The exit status is 1 if a target is not met.",
    )
    add_sections(parser, SECTIONS)
    parser.add_argument("--model", default="PP-YOLOE_plus_SOD-demo", help="ensemble (default: %(default)s)")
    parser.add_argument("--profile", default="cpu_high_performance", help="default: %(default)s")
    parser.add_argument("--url", help="a running gateway (default: a server is started)")
    parser.add_argument("--seconds", type=number(0.2, 600), default=30.0, help="of the film (default: %(default)g)")
    parser.add_argument("--film-seed", type=whole(0), default=0, help="of the film (default: %(default)s)")
    parser.add_argument("--seeds", type=whole(), default=3, help="number of made streets (default: %(default)s)")
    parser.add_argument(
        "--lag-seconds", type=number(0.2, 600), default=30.0, help="of lag's stream (default: %(default)g)"
    )
    parser.add_argument(
        "--stream-seconds",
        type=number(20, 1e6),
        default=3600.0,
        metavar="S",
        help="of memory's stream, which takes a tenth of them (default: %(default)g)",
    )
    parser.add_argument("--rounds", type=whole(), default=3, help="of throughput (default: %(default)s)")
    parser.add_argument("--concurrency", type=whole(), default=4, help="requests at once (default: %(default)s)")
    parser.add_argument(
        "--film-folder", type=Path, metavar="DIR", help="keep the film here, and use it again (default: it is removed)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
