"""What a caller may pass as pictures and thresholds, and what of it goes on the wire."""

import base64
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from numbers import Integral, Real
from pathlib import Path

from sod_client.errors import InvalidInputError

Picture = str | os.PathLike[str] | bytes
"""A path, an http(s) URL that the server fetches, or an encoded picture (JPEG, PNG, ...)."""

Threshold = float | Mapping[int, float]
"""One score for all classes, or a score by class id."""


def pictures(given: Picture | Iterable[Picture]) -> Iterator[Picture]:
    """The pictures one by one; `given` is one, or any iterable of them, read no faster than asked."""
    if isinstance(given, str | os.PathLike | bytes):
        yield given
    elif isinstance(given, bytearray | memoryview):
        yield bytes(given)
    elif isinstance(given, Iterable):
        yield from given
    else:
        raise InvalidInputError(f"a picture is a path, a URL or bytes, not {type(given).__name__}")


def image_field(picture: Picture) -> tuple[str, str | None]:
    """The wire's `image` (base64 or URL) and the result's `input_path` (None for bytes).

    Raises:
        InvalidInputError: the file cannot be read, or there is nothing in it.
    """
    if isinstance(picture, bytes):
        return _encoded(picture, "the picture"), None
    if not isinstance(picture, str | os.PathLike):
        raise InvalidInputError(f"a picture is a path, a URL or bytes, not {type(picture).__name__}")
    path = os.fspath(picture)
    if is_url(path):
        return path, path
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInputError(f"cannot read {path!r}: {reason}") from error
    return _encoded(content, repr(path)), path


def is_url(text: str) -> bool:
    """Whether it begins with http:// or https://."""
    return text.lower().startswith(("http://", "https://"))


def threshold_field(threshold: Threshold | None) -> float | dict[str, float] | None:
    """The wire's `threshold`.

    Raises:
        InvalidInputError: a score is no finite number, or a class id no integer.
    """
    if threshold is None:
        return None
    if not isinstance(threshold, Mapping):
        return _score(threshold)
    return {_class_id(class_id): _score(score) for class_id, score in threshold.items()}


def _class_id(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InvalidInputError(f"a class id is an integer, not {value!r}")
    return str(int(value))


def _score(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise InvalidInputError(f"a threshold is a finite number, not {value!r}")
    return float(value)


def _encoded(content: bytes, name: str) -> str:
    if not content:
        raise InvalidInputError(f"{name} is empty")
    return base64.b64encode(content).decode("ascii")
