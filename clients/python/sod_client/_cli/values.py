"""What an option's text means."""

import argparse
import ast

from sod_client._thresholds import Threshold, checked
from sod_client.errors import InvalidThresholdError


def threshold(text: str) -> Threshold:
    """`0.5`, `0:0.5,3:0.3`, or a dict as Python or JSON writes it.

    >>> threshold("0:0.5,3:0.3") == threshold("{0: 0.5, 3: 0.3}") == threshold('{"0": 0.5, "3": 0.3}')
    True

    Raises:
        argparse.ArgumentTypeError: it is none of these, or a score is outside 0 to 1.
    """
    try:
        if text.lstrip().startswith("{"):
            given: Threshold = {int(key): float(score) for key, score in dict(ast.literal_eval(text)).items()}
        elif ":" in text:
            given = {int(key): float(score) for key, score in (pair.split(":") for pair in text.split(","))}
        else:
            given = float(text)
    except (ValueError, TypeError, SyntaxError):
        message = f"{text!r} is neither a number nor like 0:0.5,3:0.3 or {{0: 0.5, 3: 0.3}}"
        raise argparse.ArgumentTypeError(message) from None
    try:
        checked(given)
    except InvalidThresholdError as error:
        raise argparse.ArgumentTypeError(error.sentence) from None
    return given


def literal(text: str) -> object:
    """A value as Python writes it.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        value: object = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise argparse.ArgumentTypeError(f"{text!r} is no Python value, such as {{'backend': 'openvino'}}") from None
    return value


def whole(text: str) -> int:
    """A number from 0.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0")
    return int(text)


def at_least_one(text: str) -> int:
    """A number from 1.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)


def seconds(text: str) -> float:
    """A positive number.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number of seconds")
    return value
