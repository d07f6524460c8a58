"""The transport to Triton itself: the encoded image over gRPC, without base64 and without a gateway."""

import json
import math
import re
import threading
import uuid
from typing import Any
from urllib.parse import urlsplit

from sod_client import _thresholds
from sod_client._filters import check_class_id
from sod_client._inputs.items import BytesItem, Item, StretchedItem, URLItem
from sod_client._inputs.pixels import decoded_size
from sod_client._optional import require
from sod_client._results.data import Box, Model
from sod_client._transport.retry import RetryableError, RetryPolicy
from sod_client._transport.transport import RequestOptions
from sod_client.errors import (
    BadReplyError,
    ConnectionFailedError,
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
_CHANNEL = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),
]
_INVALID_INPUT = 422  # the gateway's status for an invalid image
# Triton's prefix of an error message of a model in an ensemble.
_ERROR_PREFIX = re.compile(r"^(?:\[[^\]]*\]\s*|in ensemble '[^']*',\s*)+")


# A model that was exported before 0.3.0 does not have these inputs.
_FIXED_NMS = re.compile(r"unexpected inference input '(?:iou_threshold|class_agnostic)'|expected \d+ inputs? but got")


class GrpcTransport:
    """A connection to Triton. The list of models is read once, and again after an error.

    Args:
        url: grpc://host:port.
        timeout: seconds to wait for a response.
        retries: the most attempts after the first one, while Triton cannot be reached.
        max_requests: the most inferences at once.
    """

    fetches_urls = False

    def __init__(self, url: str, *, timeout: float, retries: int, max_requests: int) -> None:
        self.url = url.rstrip("/")
        self._grpc = require("tritonclient.grpc", "a grpc:// address", "'tritonclient[grpc]'")
        self._error: type[Exception] = require("tritonclient.utils", "a grpc:// address", "").InferenceServerException
        self._numpy = require("numpy", "a grpc:// address", "'tritonclient[grpc]'")
        self._client = self._grpc.InferenceServerClient(_address(url), channel_args=_CHANNEL)
        self._timeout = timeout
        self._slots = threading.Semaphore(max_requests)
        self._retry = RetryPolicy(retries)
        self._catalogue: dict[str, tuple[Model, tuple[float, ...]]] = {}

    def detect(self, item: Item, options: RequestOptions) -> Result:
        """Detect the objects of one image; boxes are clipped to the image, and left out if nothing is left."""
        if options.slices is not None:
            raise InvalidConfigError("slices are made by the gateway: use its address, such as http://127.0.0.1:8080")
        image = item.encoded()
        model, defaults = self._model(options.model)
        thresholds = _threshold_vector(options.threshold, defaults)
        if options.classes is not None:
            thresholds = _only_classes(thresholds, options.classes)
        outputs = self._retry.run(lambda: self._infer(model.name, image, thresholds, options))
        if outputs["error"].size and outputs["error"].flat[0]:
            raise ServerError(
                _INVALID_INPUT, _INVALID_INPUT, bytes(outputs["error"].flat[0]).decode("utf-8", "replace")
            )
        count = int(outputs["num_detections"].flat[0])
        boxes = _boxes(model, *(outputs[name][0, :count].tolist() for name in ("class_ids", "scores", "boxes")))
        width, height = decoded_size(image)
        for box in boxes:
            x1, y1, x2, y2 = box["coordinate"]
            box["coordinate"] = [_clip(x1, width), _clip(y1, height), _clip(x2, width), _clip(y2, height)]
        boxes = [box for box in boxes if _has_area(*box["coordinate"])]
        source = BytesItem(item.input_path, content=image) if isinstance(item, URLItem | StretchedItem) else item
        return Result(item.input_path, boxes, page_index=item.page_index, log_id=str(uuid.uuid4()), source=source)

    def models(self) -> list[Model]:
        """The models that Triton has ready."""
        self._catalogue = self._retry.run(self._read_models)
        return [model for model, _ in self._catalogue.values()]

    def close(self) -> None:
        """Close the connection."""
        self._retry.close()
        self._client.close()

    def _model(self, name: str | None) -> tuple[Model, tuple[float, ...]]:
        if not self._catalogue or (name is not None and name not in self._catalogue):
            self.models()
        if not self._catalogue:
            raise ServerBusyError(503, 503, "Triton has no detector ready")
        if name is None:
            return next(iter(self._catalogue.values()))
        if name not in self._catalogue:
            ready = ", ".join(self._catalogue)
            raise ServerError(_INVALID_INPUT, _INVALID_INPUT, f"there is no model {name}; these are ready: {ready}")
        return self._catalogue[name]

    def _read_models(self) -> dict[str, tuple[Model, tuple[float, ...]]]:
        try:
            index = self._client.get_model_repository_index(client_timeout=self._timeout)
            names = sorted({model.name for model in index.models if model.state == "READY"}, key=_preference)
            configs = [self._client.get_model_config(name, client_timeout=self._timeout).config for name in names]
        except (self._error, ValueError) as error:  # ValueError: the channel was closed
            raise self._failure(error) from error
        found: dict[str, tuple[Model, tuple[float, ...]]] = {}
        for config in configs:
            if config.platform == "ensemble" and (labels := _parameter(config, "labels")):
                size = _parameter(config, "input_size")
                model = Model(config.name, tuple(labels), tuple(size) if size else None, default=not found)
                found[config.name] = model, _default_thresholds(_parameter(config, "default_threshold"), len(labels))
        return found

    def _infer(self, model: str, image: bytes, thresholds: list[float], options: RequestOptions) -> dict[str, Any]:
        image_tensor = self._grpc.InferInput("image", [1, 1], "BYTES")
        image_tensor.set_data_from_numpy(self._numpy.array([[image]], dtype=self._numpy.object_))
        threshold_tensor = self._grpc.InferInput("score_threshold", [1, len(thresholds)], "FP32")
        threshold_tensor.set_data_from_numpy(self._numpy.array([thresholds], dtype=self._numpy.float32))
        inputs = [image_tensor, threshold_tensor]
        for name, kind, dtype, value in (
            ("iou_threshold", "FP32", self._numpy.float32, options.iou),
            ("class_agnostic", "BOOL", self._numpy.bool_, options.agnostic_nms or None),
        ):
            if value is not None:
                inputs.append(self._grpc.InferInput(name, [1, 1], kind))
                inputs[-1].set_data_from_numpy(self._numpy.array([[value]], dtype=dtype))
        try:
            with self._slots:
                response = self._client.infer(model, inputs, client_timeout=self._timeout)
        except (self._error, ValueError) as error:  # ValueError: the channel was closed
            raise self._failure(error) from error
        outputs = {
            name: response.as_numpy(name) for name in ("boxes", "scores", "class_ids", "num_detections", "error")
        }
        if any(array is None for array in outputs.values()):
            raise BadReplyError(f"{self.url}: the outputs of {model} are not those of a small-object detector")
        return outputs

    def _failure(self, error: Exception) -> Exception:
        """The error to raise for an error of the gRPC client. The models are read again afterwards."""
        self._catalogue = {}
        status = getattr(error, "status", lambda: None)()
        text = " ".join(str(getattr(error, "message", lambda: error)()).split())[:500]
        failure: SodError
        if status == "StatusCode.UNAVAILABLE":
            failure = ConnectionFailedError(f"cannot reach {self.url}: {text}")
            failure.__cause__ = error
            return RetryableError(failure)
        if status == "StatusCode.DEADLINE_EXCEEDED":
            failure = ConnectionFailedError(f"{self.url} did not respond in time")
        elif status is None:  # an error of the gRPC library: the channel was closed
            failure = ConnectionFailedError(f"the connection to {self.url} is closed: {text}")
        else:
            code = _INVALID_INPUT if status == "StatusCode.INVALID_ARGUMENT" else 500
            if _FIXED_NMS.search(text):
                text = "the NMS of this model is fixed: export it again to use iou and agnostic_nms"
            failure = ServerError(code, code, _ERROR_PREFIX.sub("", text))
        failure.__cause__ = error
        return failure


def _address(url: str) -> str:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    if not parts.hostname or port is None or parts.path.strip("/"):
        raise InvalidConfigError(f"{url!r} is not an address of Triton; it should look like grpc://127.0.0.1:8001")
    return parts.netloc


def _preference(name: str) -> tuple[int, str]:
    return (PREFERENCE.index(name) if name in PREFERENCE else len(PREFERENCE), name)


def _parameter(config: Any, key: str) -> Any:
    """A parameter of a model's configuration, which holds JSON; None if it is absent or not JSON."""
    if key not in config.parameters:
        return None
    try:
        return json.loads(config.parameters[key].string_value)
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


def _has_area(x1: float, y1: float, x2: float, y2: float) -> bool:
    return x2 > x1 and y2 > y1


def _clip(value: float, limit: int) -> float:
    return min(max(value, 0.0), float(limit))
