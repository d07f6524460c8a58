"""Checks score thresholds."""

from collections.abc import Mapping
from numbers import Integral, Real

from sod_client.errors import InvalidThresholdError

ClassKey = int | str | None
"""A class id, a label, or None for all classes that are not named."""

Threshold = float | Mapping[int, float] | Mapping[str, float] | Mapping[int | str, float] | Mapping[ClassKey, float]
"""The score that an object must exceed, from 0 to 1: one for all classes, or one per class id or label."""

DEFAULT = 0.5


def check_threshold(threshold: Threshold | None) -> float | dict[ClassKey, float] | None:
    """Convert a threshold to Python's own types.

    Raises:
        InvalidThresholdError: a score is not a number from 0 to 1, or a class is neither an id from 0 nor a label.
    """
    if threshold is None:
        return None
    if isinstance(threshold, Mapping):
        return {
            _class_key(key): _score(score, " of all other classes" if key is None else f" of class {key}")
            for key, score in threshold.items()
        }
    return _score(threshold, "")


def _class_key(value: object) -> ClassKey:
    if value is None or (isinstance(value, str) and value):
        return value
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
        raise InvalidThresholdError(f"the class of a threshold must be an integer from 0 or a label, not {value!r}")
    return int(value)


def _score(value: object, which: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise InvalidThresholdError(f"the threshold{which} must be a number from 0 to 1, not {value!r}")
    return float(value)
