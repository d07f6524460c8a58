"""Parses the values of options."""

import argparse
import ast

from sod_client._thresholds import Threshold, check_threshold
from sod_client.errors import InvalidThresholdError


def threshold(text: str) -> Threshold | None:
    """Parse `0.5`, `0:0.5,3:0.3`, a dict in the notation of Python or JSON, or `None` for the default.

    >>> threshold("0:0.5,3:0.3") == threshold("{0: 0.5, 3: 0.3}") == threshold('{"0": 0.5, "3": 0.3}')
    True

    Raises:
        argparse.ArgumentTypeError: the text is none of these, or a score is outside 0 to 1.
    """
    if text == "None":
        return None
    try:
        if text.lstrip().startswith("{"):
            value: Threshold = {int(key): float(score) for key, score in dict(ast.literal_eval(text)).items()}
        elif ":" in text:
            value = {int(key): float(score) for key, score in (pair.split(":") for pair in text.split(","))}
        else:
            value = float(text)
    except (ValueError, TypeError, SyntaxError):
        message = f"{text!r} is neither a number nor like 0:0.5,3:0.3 or {{0: 0.5, 3: 0.3}}"
        raise argparse.ArgumentTypeError(message) from None
    try:
        check_threshold(value)
    except InvalidThresholdError as error:
        raise argparse.ArgumentTypeError(error.sentence) from None
    return value


def literal(text: str) -> object:
    """Parse a literal in Python's notation.

    Raises:
        argparse.ArgumentTypeError: the text is not one.
    """
    try:
        value: object = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a Python literal such as {{'backend': 'openvino'}}"
        ) from None
    return value


def from_zero(text: str) -> int:
    """Parse a whole number from 0.

    Raises:
        argparse.ArgumentTypeError: the text is not one.
    """
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def at_least_one(text: str) -> int:
    """Parse a whole number from 1.

    Raises:
        argparse.ArgumentTypeError: the text is not one.
    """
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def share(text: str) -> float:
    """Parse a number from 0 to 1.

    Raises:
        argparse.ArgumentTypeError: the text is not one.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def bands(text: str) -> tuple[int, ...]:
    """Parse the number of a band, or three that are separated by commas.

    Raises:
        argparse.ArgumentTypeError: the text is neither.
    """
    parts = text.split(",")
    if len(parts) not in (1, 3) or not all(part.isascii() and part.isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is neither the number of a band nor three of them, such as 3,2,1")
    return tuple(map(int, parts))


def seconds(text: str) -> float:
    """Parse a positive number of seconds.

    Raises:
        argparse.ArgumentTypeError: the text is not one.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return value
