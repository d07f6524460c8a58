"""Parses the values of the options of `sod watch`."""

import argparse
import re
from collections.abc import Sequence

_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?)(s|m|h|)")


def duration(text: str) -> float:
    """Parse a time such as 90, 90s, 1.5m, 2h or 1:30.

    >>> duration("1.5m") == duration("90") == duration("1:30")
    True

    Raises:
        argparse.ArgumentTypeError: the text is none of these.
    """
    if match := _DURATION.fullmatch(text):
        return float(match[1]) * _UNITS_S[match[2]]
    parts = text.split(":")
    if 2 <= len(parts) <= 3 and all(re.fullmatch(r"\d+(\.\d+)?", part) for part in parts):
        seconds = 0.0
        for part in parts:
            seconds = 60 * seconds + float(part)
        return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 90, 90s, 1.5m, 2h or 1:30")


def positive_duration(text: str) -> float:
    """Parse a time above 0.

    Raises:
        argparse.ArgumentTypeError: the text is not one.
    """
    seconds = duration(text)
    if seconds <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time above 0")
    return seconds


def with_points_joined(arguments: Sequence[str]) -> list[str]:
    """The arguments, with `=` before points whose first number is negative, which argparse would take for an option.

    >>> with_points_joined(["--line", "-5,400,1280,400", "--track"])
    ['--line=-5,400,1280,400', '--track']
    """
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in ("--line", "--zone") and re.match(r"-[\d.]", argument):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined
