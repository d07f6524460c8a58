"""The way to Triton itself: the encoded image over gRPC, without base64 and without a gateway."""

import json
import re
import threading
import uuid
from typing import Any
from urllib.parse import urlsplit

from sod_client import _thresholds
from sod_client._inputs.items import BytesItem, Item, URLItem, shown_size
from sod_client._optional import need
from sod_client._transport.interface import Question
from sod_client._transport.retry import Retry, TryAgainError
from sod_client.errors import (
    BadReplyError,
    ConnectionFailedError,
    InvalidConfigError,
    InvalidThresholdError,
    ServerBusyError,
    ServerError,
    SodError,
)
from sod_client.result import Box, Model, Result

# Which of the models that are ready is the default, as the gateway has it; others come after them, by name.
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
_UNREADABLE = 422  # the gateway's status for an image that the model cannot read
# What Triton puts before a stage's sentence.
_AROUND = re.compile(r"^(?:\[[^\]]*\]\s*|in ensemble '[^']*',\s*)+")


class GrpcTransport:
    """A connection to Triton; what its models are is asked once.

    Args:
        url: grpc://host:port.
        timeout: seconds to wait for an answer.
        retries: tries after the first one, while Triton cannot be reached.
        at_once: inferences under way at most.
    """

    fetches = False

    def __init__(self, url: str, *, timeout: float, retries: int, at_once: int) -> None:
        self.url = url.rstrip("/")
        self._grpc = need("tritonclient.grpc", "a grpc:// address", "'sod-client[grpc]'")
        self._error: type[Exception] = need("tritonclient.utils", "a grpc:// address", "").InferenceServerException
        self._numpy = need("numpy", "a grpc:// address", "'sod-client[grpc]'")
        self._client = self._grpc.InferenceServerClient(_address(url), channel_args=_CHANNEL)
        self._timeout = timeout
        self._gate = threading.Semaphore(at_once)
        self._retry = Retry(retries)
        self._catalogue: dict[str, tuple[Model, tuple[float, ...]]] = {}

    def detect(self, item: Item, question: Question) -> Result:
        """The objects of one image, cut off at its edges."""
        image = item.encoded()
        model, defaults = self._model(question.model)
        scores = _vector(question.threshold, defaults)
        outputs = self._retry.run(lambda: self._infer(model.name, image, scores))
        if outputs["error"].size and outputs["error"].flat[0]:
            raise ServerError(_UNREADABLE, _UNREADABLE, bytes(outputs["error"].flat[0]).decode("utf-8", "replace"))
        count = int(outputs["num_detections"].flat[0])
        boxes = _boxes(model, *(outputs[name][0, :count].tolist() for name in ("class_ids", "scores", "boxes")))
        width, height = shown_size(image)
        for box in boxes:
            x1, y1, x2, y2 = box["coordinate"]
            box["coordinate"] = [_cut(x1, width), _cut(y1, height), _cut(x2, width), _cut(y2, height)]
        source = BytesItem(item.input_path, content=image) if isinstance(item, URLItem) else item
        return Result(item.input_path, boxes, page_index=item.page_index, log_id=str(uuid.uuid4()), source=source)

    def models(self) -> list[Model]:
        """The models that are ready."""
        self._catalogue = self._retry.run(self._ask_models)
        return [model for model, _ in self._catalogue.values()]

    def close(self) -> None:
        """Close the connection."""
        self._retry.close()
        self._client.close()

    def _model(self, name: str | None) -> tuple[Model, tuple[float, ...]]:
        if not self._catalogue or (name is not None and name not in self._catalogue):
            self.models()
        if not self._catalogue:
            raise ServerBusyError(503, 503, "Triton has no detector that is ready")
        if name is None:
            return next(iter(self._catalogue.values()))
        if name not in self._catalogue:
            known = ", ".join(self._catalogue)
            raise ServerError(_UNREADABLE, _UNREADABLE, f"there is no model {name}; those that are ready: {known}")
        return self._catalogue[name]

    def _ask_models(self) -> dict[str, tuple[Model, tuple[float, ...]]]:
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
                found[config.name] = model, _own_thresholds(_parameter(config, "default_threshold"), len(labels))
        return found

    def _infer(self, model: str, image: bytes, scores: list[float]) -> dict[str, Any]:
        image_tensor = self._grpc.InferInput("image", [1, 1], "BYTES")
        image_tensor.set_data_from_numpy(self._numpy.array([[image]], dtype=self._numpy.object_))
        threshold = self._grpc.InferInput("score_threshold", [1, len(scores)], "FP32")
        threshold.set_data_from_numpy(self._numpy.array([scores], dtype=self._numpy.float32))
        try:
            with self._gate:
                answer = self._client.infer(model, [image_tensor, threshold], client_timeout=self._timeout)
        except (self._error, ValueError) as error:  # ValueError: the channel was closed
            raise self._failure(error) from error
        outputs = {name: answer.as_numpy(name) for name in ("boxes", "scores", "class_ids", "num_detections", "error")}
        if any(array is None for array in outputs.values()):
            raise BadReplyError(f"{self.url}: the outputs of {model} are not those of a small-object detector")
        return outputs

    def _failure(self, error: Exception) -> Exception:
        """What to raise for an error of the call; the models are asked anew after it."""
        self._catalogue = {}
        status = getattr(error, "status", lambda: None)()
        text = " ".join(str(getattr(error, "message", lambda: error)()).split())[:500]
        failure: SodError
        if status == "StatusCode.UNAVAILABLE":
            failure = ConnectionFailedError(f"cannot reach {self.url}: {text}")
            failure.__cause__ = error
            return TryAgainError(failure)
        if status == "StatusCode.DEADLINE_EXCEEDED":
            failure = ConnectionFailedError(f"{self.url} gave no answer in time")
        elif status is None:  # grpc's own, of a channel that was closed
            failure = ConnectionFailedError(f"the connection to {self.url} is closed: {text}")
        else:
            code = _UNREADABLE if status == "StatusCode.INVALID_ARGUMENT" else 500
            failure = ServerError(code, code, _AROUND.sub("", text))
        failure.__cause__ = error
        return failure


def _address(url: str) -> str:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    if not parts.hostname or port is None or parts.path.strip("/"):
        raise InvalidConfigError(f"{url!r} is no address of Triton; it should look like grpc://127.0.0.1:8001")
    return parts.netloc


def _preference(name: str) -> tuple[int, str]:
    return (PREFERENCE.index(name) if name in PREFERENCE else len(PREFERENCE), name)


def _parameter(config: Any, key: str) -> Any:
    """A parameter of a model's configuration, which is JSON; None if it is absent."""
    if key not in config.parameters:
        return None
    try:
        return json.loads(config.parameters[key].string_value)
    except ValueError:
        return None


def _own_thresholds(given: Any, classes: int) -> tuple[float, ...]:
    """The thresholds of a model by class id, its own or `_thresholds.DEFAULT`."""
    if isinstance(given, dict):
        return tuple(float(given.get(str(class_id), _thresholds.DEFAULT)) for class_id in range(classes))
    return (float(given) if isinstance(given, int | float) else _thresholds.DEFAULT,) * classes


def _vector(threshold: float | dict[int, float] | None, defaults: tuple[float, ...]) -> list[float]:
    if isinstance(threshold, float):
        return [threshold] * len(defaults)
    vector = list(defaults)
    for class_id, score in (threshold or {}).items():
        if class_id >= len(vector):
            raise InvalidThresholdError(f"the model has no class {class_id}; its class ids are 0 to {len(vector) - 1}")
        vector[class_id] = score
    return vector


def _boxes(model: Model, class_ids: list[int], scores: list[float], boxes: list[list[float]]) -> list[Box]:
    """The objects by class id, then the best score first, as the gateway has them."""
    found = sorted(zip(class_ids, scores, boxes, strict=True), key=lambda each: (each[0], -each[1]))
    return [
        Box(cls_id=class_id, label=model.label(class_id), score=score, coordinate=box) for class_id, score, box in found
    ]


def _cut(value: float, limit: int) -> float:
    return min(max(value, 0.0), float(limit))
