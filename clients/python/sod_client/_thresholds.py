"""Checks score thresholds."""

from collections.abc import Mapping
from numbers import Integral, Real

from sod_client.errors import InvalidThresholdError

Threshold = float | Mapping[int, float]
"""The score that an object must exceed, from 0 to 1: one for all classes, or one per class id."""

DEFAULT = 0.5


def check_threshold(threshold: Threshold | None) -> float | dict[int, float] | None:
    """Convert a threshold to Python's own types.

    Raises:
        InvalidThresholdError: a score is not a number from 0 to 1, or a class id is not an integer from 0.
    """
    if threshold is None:
        return None
    if isinstance(threshold, Mapping):
        return {_class_id(class_id): _score(score, f" of class {class_id}") for class_id, score in threshold.items()}
    return _score(threshold, "")


def _class_id(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
        raise InvalidThresholdError(f"the class id of a threshold must be an integer from 0, not {value!r}")
    return int(value)


def _score(value: object, which: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise InvalidThresholdError(f"the threshold{which} must be a number from 0 to 1, not {value!r}")
    return float(value)
