"""What the command lines of the benchmarks have in common."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path


def whole(least: int = 1) -> Callable[[str], int]:
    """A type for argparse: a whole number of at least `least`."""

    def whole_number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return value

    return whole_number


def number(least: float, most: float) -> Callable[[str], float]:
    """A type for argparse: a number between two, both included."""

    def number_between(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not between {least:.10g} and {most:.10g}")
        return value

    return number_between


def add_sections(parser: argparse.ArgumentParser, sections: Sequence[str]) -> None:
    """Add `--sections`, all of them by default, and `--json` for their figures."""
    parser.add_argument(
        "--sections", nargs="+", choices=sections, default=sections, metavar="SECTION", help=f"any of {sections}"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
