"""Parses the values of options."""

import argparse
import ast

from sod_client import _seconds
from sod_client._thresholds import ClassKey, Threshold, check_threshold
from sod_client.errors import InvalidThresholdError


def threshold(text: str) -> Threshold | None:
    """Parse `0.5`, `car:0.5,3:0.3`, `0.3,car:0.5`, a dict in the notation of Python or JSON, or `None` for the default.

    A number alone is for all other classes. A name with a comma needs the notation of a dict.

    >>> threshold("0:0.5,3:0.3") == threshold("{0: 0.5, 3: 0.3}") == threshold('{"0": 0.5, "3": 0.3}')
    True
    >>> threshold("0.3,car:0.5") == threshold("{None: 0.3, 'car': 0.5}") == {None: 0.3, "car": 0.5}
    True

    Raises:
        argparse.ArgumentTypeError: the text is none of these, or a score is outside 0 to 1.
    """
    if text == "None":
        return None
    try:
        value: Threshold = _scores(text) if text.lstrip().startswith("{") or {":", ","} & set(text) else float(text)
    except (ValueError, TypeError, SyntaxError):
        message = f"{text!r} is neither a number nor like car:0.5,3:0.3, 0.2,car:0.5 or {{'car': 0.5, 3: 0.3}}"
        raise argparse.ArgumentTypeError(message) from None
    try:
        check_threshold(value)
    except InvalidThresholdError as error:
        raise argparse.ArgumentTypeError(error.sentence) from None
    return value


def classes(text: str) -> list[int | str]:
    """Parse class ids and labels with commas between them, or a list in the notation of Python or JSON.

    >>> classes("car, 3") == classes("['car', 3]") == ["car", 3]
    True

    Raises:
        argparse.ArgumentTypeError: the text is neither.
    """
    try:
        if text.lstrip().startswith("["):
            listed = list(ast.literal_eval(text.strip()))
        else:
            listed = [_class_key(part.strip()) for part in text.split(",")]
        if not listed or not all(type(one) in (int, str) and one != "" for one in listed):
            raise ValueError
    except (ValueError, TypeError, SyntaxError):
        raise argparse.ArgumentTypeError(f"{text!r} is neither like car,3 nor like ['car', 3]") from None
    return listed


def _scores(text: str) -> dict[ClassKey, float]:
    """Scores by class; the key None is for all other classes."""
    if text.lstrip().startswith("{"):
        pairs = list(dict(ast.literal_eval(text.strip())).items())
    else:
        parts = [part.rpartition(":") for part in text.split(",")]  # the name may contain colons
        pairs = [(name.strip() if colon else None, score) for name, colon, score in parts]
    if sum(key is None for key, _ in pairs) > 1:
        raise ValueError("two numbers for all classes")
    return {None if key is None else _class_key(key): float(score) for key, score in pairs}


def _class_key(key: object) -> int | str:
    """A class id, or a label."""
    if isinstance(key, str) and key:
        return int(key) if key.isascii() and key.isdecimal() else key
    if type(key) is not int:
        raise ValueError("neither a class id nor a label")
    return key


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
    """Parse a positive number of seconds, which a socket can wait.

    Raises:
        argparse.ArgumentTypeError: the text is not one.
    """
    value = positive(text, _seconds.KIND)
    if value > _seconds.MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is not {_seconds.KIND}")
    return value


def port(text: str) -> int:
    """Parse a port; 0 is a free one.

    Raises:
        argparse.ArgumentTypeError: the text is not one.
    """
    if not (text.isascii() and text.isdecimal()) or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def positive(text: str, what: str = "a number above 0") -> float:
    """Parse a finite number above 0; `what` says in the error what it should be.

    Raises:
        argparse.ArgumentTypeError: the text is not one.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return value
