"""Which objects a call returns: thresholds, classes and NMS; classes by id or label."""

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real

from sod_client._thresholds import ClassKey, Threshold, check_threshold
from sod_client.errors import InvalidConfigError, InvalidInputError, InvalidThresholdError

Classes = int | str | Sequence[int | str]
"""Class ids and labels, or one of them."""

_MAX_SHOWN = 20


@dataclass(frozen=True)
class Filters:
    """The arguments of a call, checked as far as that is possible without the model.

    Attributes:
        threshold: the score that an object must exceed, for all classes or by class; None is the model's default.
        classes: the wanted classes; None is all.
        iou: an object is left out if its IoU with a better one is greater; None is the model's own.
        agnostic_nms: whether better objects of other classes count, too.
    """

    threshold: float | dict[ClassKey, float] | None
    classes: tuple[int | str, ...] | None
    iou: float | None
    agnostic_nms: bool

    @classmethod
    def of(
        cls, threshold: Threshold | None, classes: Classes | None, iou: float | None, agnostic_nms: bool
    ) -> "Filters":
        """Check arguments of `Pipeline.predict`.

        Raises:
            InvalidThresholdError: the threshold is invalid.
            InvalidConfigError: another argument is.
        """
        if not isinstance(agnostic_nms, bool):
            raise InvalidConfigError(f"agnostic_nms must be True or False, not {agnostic_nms!r}")
        return cls(check_threshold(threshold), _check_classes(classes), _check_iou(iou), agnostic_nms)

    def threshold_by_id(self, labels: Callable[[], Sequence[str]]) -> float | dict[int, float] | None:
        """The threshold, with class ids in place of labels.

        Args:
            labels: returns the model's labels, by class id; it is called only if they are needed.

        Raises:
            InvalidThresholdError: the model has no such class.
        """
        if not isinstance(self.threshold, dict):
            return self.threshold
        found: dict[int, float] = {}
        if None in self.threshold:
            found = dict.fromkeys(range(len(labels())), self.threshold[None])
        for key, score in self.threshold.items():
            if isinstance(key, str):
                found |= dict.fromkeys(_class_ids(key, labels(), InvalidThresholdError), score)
            elif key is not None:
                found[key] = score
        return found

    def class_ids(self, labels: Callable[[], Sequence[str]]) -> tuple[int, ...] | None:
        """The ids of the wanted classes; `labels` as above.

        Raises:
            InvalidConfigError: the model has no such class.
        """
        if self.classes is None:
            return None
        found: dict[int, None] = {}
        for one in self.classes:
            found |= dict.fromkeys(_class_ids(one, labels(), InvalidConfigError) if isinstance(one, str) else [one])
        return tuple(found)


def check_class_id(class_id: int, classes: int, error: type[InvalidInputError]) -> int:
    """The class id; raises `error` if a model of so many classes does not have it."""
    if not 0 <= class_id < classes:
        raise error(f"the model has no class {class_id}; its class ids are 0 to {classes - 1}")
    return class_id


def _check_iou(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise InvalidConfigError(f"iou must be a number from 0 to 1, not {value!r}")
    return float(value)


def _check_classes(value: object) -> tuple[int | str, ...] | None:
    if value is None:
        return None
    if isinstance(value, str | Integral):
        return (_check_class(value),)
    if not isinstance(value, Iterable):
        raise InvalidConfigError(f"classes must be class ids or labels, not {value!r}")
    listed = tuple(map(_check_class, value))
    if not listed:
        raise InvalidConfigError("classes is empty: name at least one class, or leave it out for all")
    return listed


def _check_class(value: object) -> int | str:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
        raise InvalidConfigError(f"a class must be an integer from 0 or a label, not {value!r}")
    return int(value)


def _class_ids(name: str, labels: Sequence[str], error: type[InvalidInputError]) -> list[int]:
    """The ids of the classes with a label; a number that is no label is an id."""
    if found := [class_id for class_id, label in enumerate(labels) if label == name]:
        return found
    if name.isascii() and name.isdecimal():
        return [check_class_id(int(name), len(labels), error)]
    by_folded = {label.casefold(): label for label in reversed(labels)}
    near = [by_folded[one] for one in difflib.get_close_matches(name.casefold(), by_folded, 3)]
    listed = list(dict.fromkeys([*near, *labels]))
    more = f" and {len(listed) - _MAX_SHOWN:,} more" if len(listed) > _MAX_SHOWN else ""
    raise error(f"the model has no class {name!r}; its classes are {', '.join(listed[:_MAX_SHOWN])}{more}")
