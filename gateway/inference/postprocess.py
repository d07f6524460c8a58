"""What the stage `postprocess` is told by a request: score thresholds by class, and how NMS is done."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.errors import FieldError
from gateway.inference.model_catalogue import ModelInfo

_MAX_SHOWN_CLASSES = 20
_MAX_SHOWN_NAME = 60
# A score is at most 1. With this threshold a class has no candidates, so it suppresses none and counts for no limit.
_LEFT_OUT = np.inf


@dataclass(frozen=True, slots=True)
class PostprocessOptions:
    """Inputs of the stage `postprocess` that come from the request.

    Attributes:
        thresholds: float32 [classes]; objects with a greater score are kept.
        iou_threshold: An object is suppressed by a better one with a greater IoU; None is the model's own.
        class_agnostic: Whether objects of other classes suppress an object too.
    """

    thresholds: NDArray[np.float32]
    iou_threshold: float | None = None
    class_agnostic: bool = False


def check_nms_options(model: ModelInfo, *, iou_threshold: float | None, class_agnostic: bool) -> None:
    """Check that the model can do NMS as a request wants it.

    Raises:
        FieldError: It was exported before it could.
    """
    if model.nms_inputs or (iou_threshold is None and not class_agnostic):
        return
    field = "classAgnosticNms" if class_agnostic else "iouThreshold"
    raise FieldError(
        field,
        "nms_unsupported",
        f"the NMS of {model.name} is fixed: export the model again to enable `{field}`",
    )


def threshold_vector(
    threshold: float | dict[int, float] | None, model: ModelInfo, default: float
) -> NDArray[np.float32]:
    """The score threshold of every class: float32 [classes].

    Args:
        threshold: The request's.
        model: Its own thresholds replace the default.
        default: The gateway's, for classes that have a threshold neither in the request nor in the model.

    Raises:
        FieldError: The model has no such class id.
    """
    classes = len(model.labels)
    if isinstance(threshold, float):
        return np.full(classes, threshold, np.float32)
    own = model.thresholds or (None,) * classes
    vector = np.array([default if value is None else value for value in own], np.float32)
    if isinstance(threshold, dict):
        for class_id, value in threshold.items():
            if not 0 <= class_id < classes:
                message = f"the model has no class {class_id}; its class ids are 0 to {classes - 1}"
                raise FieldError("threshold", "threshold_class", message)
            vector[class_id] = value
    return vector


def only_classes(thresholds: NDArray[np.float32], wanted: Sequence[int | str], model: ModelInfo) -> NDArray[np.float32]:
    """Thresholds that no object of an unwanted class exceeds: float32 [classes].

    Args:
        thresholds: float32 [classes].
        wanted: Class ids and labels. A label that several classes have stands for all of them. A text that is no label
            but a number is a class id.
        model: The detector.

    Raises:
        FieldError: The model has no such class; the text lists its labels.
    """
    kept = np.full_like(thresholds, _LEFT_OUT)
    for one in wanted:
        ids = _class_ids(one, model.labels)
        kept[ids] = thresholds[ids]
    return kept


def _class_ids(wanted: int | str, labels: tuple[str, ...]) -> list[int]:
    if isinstance(wanted, str):
        if named := [class_id for class_id, label in enumerate(labels) if label == wanted]:
            return named
        if not (wanted.isascii() and wanted.isdecimal() and len(wanted) < 10):
            raise FieldError("classes", "class_unknown", _unknown_name(wanted, labels))
    class_id = int(wanted)
    if not 0 <= class_id < len(labels):
        message = f"the model has no class {class_id}; its class ids are 0 to {len(labels) - 1}"
        raise FieldError("classes", "class_unknown", message)
    return [class_id]


def _unknown_name(name: str, labels: tuple[str, ...]) -> str:
    """The error for a label that no class has, with the labels, the nearest first."""
    shown = name if len(name) <= _MAX_SHOWN_NAME else name[:_MAX_SHOWN_NAME] + "…"
    by_folded = {label[:_MAX_SHOWN_NAME].casefold(): label for label in reversed(labels)}
    near = [by_folded[one] for one in difflib.get_close_matches(shown.casefold(), by_folded, 3)]
    listed = list(dict.fromkeys([*near, *labels]))
    names = ", ".join(label[:_MAX_SHOWN_NAME] for label in listed[:_MAX_SHOWN_CLASSES])
    more = f" and {len(listed) - _MAX_SHOWN_CLASSES:,} more" if len(listed) > _MAX_SHOWN_CLASSES else ""
    return f"the model has no class {shown!r}; its classes are {names}{more}"
