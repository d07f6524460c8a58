"""Runs the sections of a benchmark one after the other, writes the figures, and prints the report."""

import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from sod_client import SodError

from benchmarks.performance import machine, other_programs
from benchmarks.performance.errors import BenchmarkError
from benchmarks.targets import Target
from server.errors import ServerError
from server.launching import StartError

_BAR = 24


def run(  # noqa: PLR0913 - what differs between the benchmarks, by name
    prog: str,
    sections: Sequence[str],
    measure: Mapping[str, Callable[[], Any]],
    *,
    markdown: Callable[[dict[str, Any]], str],
    targets: Callable[[dict[str, Any]], list[Target]],
    problems: Mapping[str, Callable[[], str]],
    json_file: Path | None,
) -> int:
    """Measure the sections, and print the report.

    Args:
        prog: for messages.
        sections: names of those that are measured.
        measure: what gives the figures of a section, for JSON.
        markdown: makes the report of the figures by section.
        targets: the targets of these figures.
        problems: says why a section cannot be measured here; empty if it can.
        json_file: for the figures; written after each section.

    Returns:
        0; 1 if a target is not met, or with a message on stderr if it is impossible; 130 after Ctrl-C or SIGTERM.
    """
    document: dict[str, Any] = {"machine": machine.describe(), "other_programs": {}, "results": {}}
    previous_handler = signal.signal(signal.SIGTERM, _raise_keyboard_interrupt)
    try:
        for number, name in enumerate(sections):
            done = _BAR * number // len(sections)
            bar = "█" * done + "·" * (_BAR - done)
            print(f"{prog.rsplit(maxsplit=1)[-1]} {bar} {number}/{len(sections)} {name}", file=sys.stderr, flush=True)
            if problem := problems[name]() if name in problems else "":
                print(f"left out: {problem}", file=sys.stderr)
                continue
            document["other_programs"][name] = other_programs.sample()
            document["results"][name] = measure[name]()
            if json_file:
                json_file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    except (BenchmarkError, ServerError, SodError, StartError, OSError) as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        signal.signal(signal.SIGTERM, previous_handler)
    results = document["results"]
    print(markdown(results))
    busy = {name: f"{one['busy']:.0%}" for name, one in document["other_programs"].items()}
    print(f"Processors used by other programs before each section: {busy}.")
    return 0 if all(target.met for target in targets(results)) else 1


def _raise_keyboard_interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
