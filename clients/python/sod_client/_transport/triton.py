"""What the transports to Triton itself share: its models, the tensors of the ensembles, and the objects of a result."""

import json
import math
import re
import struct
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sod_client import _thresholds
from sod_client._filters import check_class_id
from sod_client._inputs.items import BytesItem, Item, StretchedItem, URLItem
from sod_client._inputs.pixels import decoded_size
from sod_client._optional import require
from sod_client._results.data import Box, Model
from sod_client._transport.response import FORMAT_ERRORS
from sod_client._transport.sliced import Objects, SliceRequest, detect_sliced
from sod_client._transport.transport import RequestOptions
from sod_client.errors import (
    BadReplyError,
    InvalidConfigError,
    InvalidThresholdError,
    ServerBusyError,
    ServerError,
    SodError,
)
from sod_client.result import Result

# The first of these that is ready is the default model, as in the gateway. Other models follow, sorted by name.
PREFERENCE = (
    "PP-YOLOE_plus_SOD-L",
    "PP-YOLOE_plus_SOD-S",
    "PP-YOLOE_plus_SOD-largesize-L",
    "PP-YOLOE_plus_SOD-demo",
)
INVALID_INPUT = 422  # the gateway's status for an invalid image
_OUTPUTS = ("boxes", "scores", "class_ids", "num_detections", "error")
# Triton's prefix of an error message of a model in an ensemble.
_ERROR_PREFIX = re.compile(r"^(?:\[[^\]]*\]\s*|in ensemble '[^']*',\s*)+")
# A model that was exported before 0.3.0 does not have these inputs.
_FIXED_NMS = re.compile(r"unexpected inference input '(?:iou_threshold|class_agnostic)'|expected \d+ inputs? but got")


@dataclass(frozen=True)
class ModelConfig:
    """What a model's configuration says: its name, its platform, and its parameters as text."""

    name: str
    platform: str
    parameters: Mapping[str, str]


class TritonTransport(ABC):
    """A connection to Triton. The list of models is read once, and again after an error.

    Args:
        library: `tritonclient.grpc` or `tritonclient.http`.
        url: the address as the user wrote it, without slashes at its end; error messages name it.
    """

    fetches_urls = False

    def __init__(self, library: Any, url: str) -> None:
        self.url = url
        self._library = library
        self._numpy = require("numpy", "the address of Triton", "numpy")
        self._catalogue: dict[str, tuple[Model, tuple[float, ...]]] = {}

    @abstractmethod
    def _ready_models(self) -> set[str]:
        """The names of the models that are ready; raises a SodError, as do the following."""

    @abstractmethod
    def _config(self, name: str) -> ModelConfig:
        """The configuration of a model."""

    @abstractmethod
    def _send(self, model: str, inputs: Sequence[Any]) -> Any:
        """Make one inference; returns the library's InferResult."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection and end the pauses before retries."""

    def detect(self, item: Item, options: RequestOptions) -> Result:
        """Detect the objects of one image; boxes are clipped to the image, and left out if nothing is left."""
        image = item.encoded()
        model, defaults = self._model(options.model)
        thresholds = _threshold_vector(options.threshold, defaults)
        if options.classes is not None:
            thresholds = _only_classes(thresholds, options.classes)

        def detect_one(encoded: bytes) -> Objects:
            return _objects(self._infer(model.name, encoded, thresholds, options))

        found = None
        if options.slices:
            request = SliceRequest.of(options.slices, model, agnostic_nms=options.agnostic_nms)
            found = detect_sliced(image, decoded_size(image), request, detect_one)
        class_ids, scores, coordinates = detect_one(image) if found is None else found
        boxes = _boxes(model, class_ids.tolist(), scores.tolist(), coordinates.tolist())
        width, height = decoded_size(image)
        for box in boxes:
            x1, y1, x2, y2 = box["coordinate"]
            box["coordinate"] = [_clip(x1, width), _clip(y1, height), _clip(x2, width), _clip(y2, height)]
        boxes = [box for box in boxes if _has_area(*box["coordinate"])]
        source = BytesItem(item.input_path, content=image) if isinstance(item, URLItem | StretchedItem) else item
        return Result(item.input_path, boxes, page_index=item.page_index, log_id=str(uuid.uuid4()), source=source)

    def models(self) -> list[Model]:
        """The models that Triton has ready."""
        # Requests that begin meanwhile use the list of before.
        self._catalogue = catalogue = self._read_models()
        return [model for model, _ in catalogue.values()]

    def _model(self, name: str | None) -> tuple[Model, tuple[float, ...]]:
        if not self._catalogue or (name is not None and name not in self._catalogue):
            self.models()
        catalogue = self._catalogue  # another thread may replace it
        if not catalogue:
            raise ServerBusyError(503, 503, "Triton has no detector ready")
        if name is None:
            return next(iter(catalogue.values()))
        if name not in catalogue:
            ready = ", ".join(catalogue)
            raise ServerError(INVALID_INPUT, INVALID_INPUT, f"there is no model {name}; these are ready: {ready}")
        return catalogue[name]

    def _read_models(self) -> dict[str, tuple[Model, tuple[float, ...]]]:
        found: dict[str, tuple[Model, tuple[float, ...]]] = {}
        for config in map(self._config, sorted(self._ready_models(), key=_preference)):
            if config.platform == "ensemble" and (labels := _parameter(config, "labels")):
                size = _parameter(config, "input_size")
                model = Model(
                    config.name,
                    tuple(labels),
                    tuple(size) if size else None,
                    default=not found,
                    sha256=_parameter(config, "sha256"),
                )
                found[config.name] = model, _default_thresholds(_parameter(config, "default_threshold"), len(labels))
        return found

    def _infer(self, model: str, image: bytes, thresholds: list[float], options: RequestOptions) -> dict[str, Any]:
        image_tensor = self._library.InferInput("image", [1, 1], "BYTES")
        image_tensor.set_data_from_numpy(self._numpy.array([[image]], dtype=self._numpy.object_))
        threshold_tensor = self._library.InferInput("score_threshold", [1, len(thresholds)], "FP32")
        threshold_tensor.set_data_from_numpy(self._numpy.array([thresholds], dtype=self._numpy.float32))
        inputs = [image_tensor, threshold_tensor]
        for name, kind, dtype, value in (
            ("iou_threshold", "FP32", self._numpy.float32, options.iou),
            ("class_agnostic", "BOOL", self._numpy.bool_, options.agnostic_nms or None),
        ):
            if value is not None:
                inputs.append(self._library.InferInput(name, [1, 1], kind))
                inputs[-1].set_data_from_numpy(self._numpy.array([[value]], dtype=dtype))
        try:
            result = self._send(model, inputs)
        except SodError:
            self._catalogue = {}  # the models are read again
            raise
        try:
            outputs = {name: result.as_numpy(name) for name in _OUTPUTS}
        except (*FORMAT_ERRORS, struct.error) as error:  # the description contradicts the tensors
            raise BadReplyError(f"{self.url}: the outputs of {model} are damaged") from error
        if any(array is None for array in outputs.values()):
            raise BadReplyError(f"{self.url}: the outputs of {model} are not those of a small-object detector")
        return outputs


def readable(message: str) -> str:
    """An error message of Triton in one line, without the names of the stages."""
    text = _ERROR_PREFIX.sub("", " ".join(message.split())[:500])
    if _FIXED_NMS.search(text):
        return "the NMS of this model is fixed: export it again to use iou and agnostic_nms"
    return text


def _preference(name: str) -> tuple[int, str]:
    return (PREFERENCE.index(name) if name in PREFERENCE else len(PREFERENCE), name)


def _parameter(config: ModelConfig, key: str) -> Any:
    """A parameter of a model's configuration, which holds JSON; None if it is absent or not JSON."""
    try:
        return json.loads(config.parameters.get(key, ""))
    except ValueError:
        return None


def _default_thresholds(configured: Any, classes: int) -> tuple[float, ...]:
    """The default thresholds of a model by class id: the configured ones, or `_thresholds.DEFAULT`."""
    if isinstance(configured, dict):
        return tuple(float(configured.get(str(class_id), _thresholds.DEFAULT)) for class_id in range(classes))
    return (float(configured) if isinstance(configured, int | float) else _thresholds.DEFAULT,) * classes


def _threshold_vector(threshold: float | dict[int, float] | None, defaults: tuple[float, ...]) -> list[float]:
    if isinstance(threshold, float):
        return [threshold] * len(defaults)
    vector = list(defaults)
    for class_id, score in (threshold or {}).items():
        vector[check_class_id(class_id, len(vector), InvalidThresholdError)] = score
    return vector


def _only_classes(thresholds: list[float], classes: tuple[int, ...]) -> list[float]:
    """Thresholds that no object of another class exceeds, so that it is left out before the NMS."""
    wanted = {check_class_id(class_id, len(thresholds), InvalidConfigError) for class_id in classes}
    return [threshold if class_id in wanted else math.inf for class_id, threshold in enumerate(thresholds)]


def _boxes(model: Model, class_ids: list[int], scores: list[float], boxes: list[list[float]]) -> list[Box]:
    """The objects sorted by class id and then by descending score, as the gateway sorts them."""
    found = sorted(zip(class_ids, scores, boxes, strict=True), key=lambda each: (each[0], -each[1]))
    return [
        Box(cls_id=class_id, label=model.label(class_id), score=score, coordinate=box) for class_id, score, box in found
    ]


def _objects(outputs: dict[str, Any]) -> Objects:
    """The objects of one image; raises the error of an image that is invalid."""
    if outputs["error"].size and outputs["error"].flat[0]:
        text = bytes(outputs["error"].flat[0]).decode("utf-8", "replace")
        raise ServerError(INVALID_INPUT, INVALID_INPUT, text)
    count = int(outputs["num_detections"].flat[0])
    class_ids, scores, boxes = (outputs[name][0, :count] for name in ("class_ids", "scores", "boxes"))
    return class_ids, scores, boxes


def _has_area(x1: float, y1: float, x2: float, y2: float) -> bool:
    return x2 > x1 and y2 > y1


def _clip(value: float, limit: int) -> float:
    return min(max(value, 0.0), float(limit))
