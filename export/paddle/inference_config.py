"""Reads `inference.yml`: the model's preprocessing in PaddleX, and its class names.

A setting that the data path (docs/ensemble.md) does not implement is rejected with an error that names it.

Sources: PaddleDetection `deploy/python/preprocess.py`, PaddleX `inference/models/object_detection/predictor.py`.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import ExportError
from export.files import read_yaml
from export.triton.model_name import alias_note, served_name

# OpenCV's codes, as used in `interp`. `sod.image.to_pixels` implements the one that SOD models were trained with.
CV2_INTERPOLATIONS = {0: "nearest", 1: "linear", 2: "cubic", 3: "area", 4: "lanczos4"}
SUPPORTED_INTERPOLATION = 2
DEFAULT_THRESHOLD = 0.5
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Normalise:
    """PaddleDetection's NormalizeImage: (pixels * scale - mean) / std, per RGB channel.

    With `norm_type: none`, mean and std are not used. (PaddleX would use them; official files then have 0 and 1.)

    Attributes:
        scale: 1/255 with `is_scale`, else 1.
        mean: R, G, B, in scaled units.
        std: R, G, B, in scaled units.
    """

    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def apply(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalise float32 [N, 3, H, W] of 0..255, in the order of Paddle's preprocessing."""
        mean = np.array(self.mean, np.float32).reshape(1, 3, 1, 1)
        std = np.array(self.std, np.float32).reshape(1, 3, 1, 1)
        return np.asarray((image * np.float32(self.scale) - mean) / std, np.float32)

    def factor_and_offset(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The same operation as one multiplication and one addition: two float32 [1, 3, 1, 1]."""
        mean, std = np.array(self.mean).reshape(1, 3, 1, 1), np.array(self.std).reshape(1, 3, 1, 1)
        return (self.scale / std).astype(np.float32), (-mean / std).astype(np.float32)


@dataclass(frozen=True, slots=True)
class InferenceConfig:
    """The settings of a detector.

    Attributes:
        model_name: PaddleX's name, for example "PP-YOLOE_plus_SOD-S".
        labels: class names by class id.
        height: of the detector's input, in pixels.
        width: of the detector's input, in pixels.
        interpolation: used to resize an image to the input's size; always "cubic".
        normalise: None if the program takes RGB of 0..255.
        draw_threshold: the score threshold of requests without one; None if the file has none, or 0.5, which every
            export of PaddleDetection writes and which the server uses by default.
    """

    model_name: str
    labels: tuple[str, ...]
    height: int
    width: int
    interpolation: str
    normalise: Normalise | None = None
    draw_threshold: float | None = None


def read_inference_config(path: Path, model_name: str | None = None) -> InferenceConfig:
    """Read and check an `inference.yml`.

    Args:
        path: the file.
        model_name: replaces the file's `Global.model_name`.

    Raises:
        ExportError: the file cannot be read, or has a setting that the data path does not implement.
    """
    return read_yaml(path, lambda document: _parse(document, model_name))


def _parse(document: Mapping[str, Any], model_name: str | None) -> InferenceConfig:
    resize, normalise = _preprocess(document.get("Preprocess"))
    height, width = _target_size(resize)
    return InferenceConfig(
        model_name=_model_name(document, model_name),
        labels=_labels(document.get("label_list")),
        height=height,
        width=width,
        interpolation=_interpolation(resize),
        normalise=None if normalise is None else _normalise(normalise),
        draw_threshold=_draw_threshold(document.get("draw_threshold")),
    )


def _draw_threshold(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ExportError(f"draw_threshold is {value!r}, not a number from 0 to 1")
    return None if value == DEFAULT_THRESHOLD else float(value)


def _model_name(document: Mapping[str, Any], override: str | None) -> str:
    settings = document.get("Global")
    name = override if override is not None else settings.get("model_name") if isinstance(settings, Mapping) else None
    if name is None:
        raise ExportError("Global.model_name is missing: name the model with --name")
    if not isinstance(name, str):
        raise ExportError(f"the model name {name!r} is not text: choose another with --name")
    served = served_name(name)
    if note := alias_note(name):
        LOG.warning("%s", note)
    return served


def _labels(labels: object) -> tuple[str, ...]:
    if not isinstance(labels, list) or not labels:
        raise ExportError("label_list is missing or empty")
    for label in labels:
        if not isinstance(label, str) or not label:
            raise ExportError(f"label_list contains {label!r}, which is not text: put it in quotes if it is a name")
    return tuple(labels)


def _preprocess(steps: object) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    """The settings of Resize, and of NormalizeImage if there is one."""
    if not isinstance(steps, list) or not all(isinstance(step, Mapping) for step in steps):
        raise ExportError("Preprocess is missing or not a list of steps")
    by_type: dict[str, Mapping[str, Any]] = {}
    for step in steps:
        kind = str(step.get("type"))
        if kind not in _STEP_SETTINGS:
            raise ExportError(f"the Preprocess step {kind} is not supported; supported are {', '.join(_STEP_SETTINGS)}")
        if kind in by_type:
            raise ExportError(f"the Preprocess step {kind} occurs twice")
        if unknown := sorted(set(map(str, step)) - _STEP_SETTINGS[kind] - {"type"}):
            raise ExportError(f"the Preprocess step {kind} has an unsupported setting: {', '.join(unknown)}")
        by_type[kind] = step
    order = list(by_type)
    if order not in (["Resize", "Permute"], ["Resize", "NormalizeImage", "Permute"]):
        raise ExportError(
            f"Preprocess must be Resize, NormalizeImage (optional), Permute in this order, not {', '.join(order)}"
        )
    return by_type["Resize"], by_type.get("NormalizeImage")


_STEP_SETTINGS: dict[str, set[str]] = {
    "Resize": {"interp", "keep_ratio", "target_size"},
    "NormalizeImage": {"is_scale", "mean", "std", "norm_type"},
    "Permute": set(),
}


def _target_size(resize: Mapping[str, Any]) -> tuple[int, int]:
    # Without the setting PaddleDetection keeps the aspect ratio and PaddleX does not: only an explicit false is clear.
    if resize.get("keep_ratio") is not False:
        raise ExportError(
            f"Resize.keep_ratio is {resize.get('keep_ratio', 'missing')}: only keep_ratio: false is supported"
        )
    size = resize.get("target_size")
    if isinstance(size, int):
        size = [size, size]
    if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        raise ExportError(f"Resize.target_size must be two positive integers, height and width, not {size!r}")
    return size[0], size[1]


def _interpolation(resize: Mapping[str, Any]) -> str:
    code = resize.get("interp")
    if type(code) is not int or code != SUPPORTED_INTERPOLATION:
        name = CV2_INTERPOLATIONS.get(code) if type(code) is int else None
        raise ExportError(
            f"Resize.interp is {code!r}{f' ({name})' if name else ''}: only {SUPPORTED_INTERPOLATION} "
            f"({CV2_INTERPOLATIONS[SUPPORTED_INTERPOLATION]}) is supported"
        )
    return CV2_INTERPOLATIONS[code]


def _normalise(settings: Mapping[str, Any]) -> Normalise:
    is_scale = settings.get("is_scale", True)
    if not isinstance(is_scale, bool):
        raise ExportError(f"NormalizeImage.is_scale must be true or false, not {is_scale!r}")
    scale = 1 / 255 if is_scale else 1.0
    norm_type = settings.get("norm_type", "mean_std")
    if norm_type == "none":
        return Normalise(scale, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    if norm_type != "mean_std":
        raise ExportError(f"NormalizeImage.norm_type {norm_type!r} is not supported; supported are mean_std, none")
    mean, std = (_three_numbers(settings, key) for key in ("mean", "std"))
    if 0.0 in std:
        raise ExportError("NormalizeImage.std contains a zero")
    return Normalise(scale, mean, std)


def _three_numbers(settings: Mapping[str, Any], key: str) -> tuple[float, float, float]:
    values = settings.get(key)
    if (
        not isinstance(values, list)
        or len(values) != 3
        or not all(type(value) in (int, float) and math.isfinite(value) for value in values)
    ):
        raise ExportError(f"NormalizeImage.{key} must be three numbers (R, G, B), not {values!r}")
    return float(values[0]), float(values[1]), float(values[2])
