"""The client of Triton over gRPC: encoded images in, `sod.Detections` out. Only this module imports tritonclient.

It uses gRPC's generated stub, and serialises the inference request itself: `tritonclient.grpc.aio` copies an image of
1.2 MB so often that the event loop is blocked for 3 ms, and protobuf's own message takes three times as long to build.
"""

import asyncio
import json
import re
import struct
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferResult, service_pb2, service_pb2_grpc

from gateway.errors import (
    DetectorUnavailableError,
    GatewayTimeoutError,
    InputError,
    TooManyBytesError,
    UnknownModelError,
)
from gateway.inference.single_flight import SingleFlight
from gateway.observability import metrics
from gateway.observability.tracing import trace_metadata
from sod import interface
from sod.detections import Detections

PREFERENCE = (
    "PP-YOLOE_plus_SOD-L",
    "PP-YOLOE_plus_SOD-S",
    "PP-YOLOE_plus_SOD-largesize-L",
    "PP-YOLOE_plus_SOD-demo",
)

_UNLIMITED = -1
_CHANNEL_ARGS = [
    ("grpc.max_send_message_length", _UNLIMITED),
    ("grpc.max_receive_message_length", _UNLIMITED),
    # Reconnect within a second after Triton has restarted; gRPC's default back-off grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # An http_proxy in the environment must not apply to Triton.
    ("grpc.enable_http_proxy", 0),
    # Clients in one process do not share a connection, and so no back-off.
    ("grpc.use_local_subchannel_pool", 1),
]

# Prefixes that Triton and its Python backend add to the message of a stage.
_PREFIX = re.compile(
    r"\s*(?:\[StatusCode\.\w+\]"
    r"|\[request id: [^\]]*\]"
    r"|in ensemble '[^']*',"
    r"|Failed to process the request\(s\) for model (?:instance )?'[^']*', message:"
    r"|TritonModelException:)\s*"
)
# Triton's core rejects a request that does not match the model with the same status as a damaged image.
_MISMATCH = re.compile(
    r"for model '|data-type is|batch-size must|unexpected (?:shape|inference input|datatype)|expected \d+ inputs?"
    rf"|^{interface.SCORE_THRESHOLD} has \d+ values"
)
# The Python backend could not enlarge the region of shared memory to the size that this and all other tensors need.
_SHARED_MEMORY_FULL = re.compile(r"Failed to increase the shared memory pool size for key '[^']*' to (\d+) bytes")
_REGION_STEP = 2 * 2**20  # by which a region grows beyond what a tensor needs
_STUB_DEAD = re.compile(r"stub process.*not healthy", re.IGNORECASE | re.DOTALL)
_MAX_MESSAGE = 500
_LENGTH = struct.Struct("<I")  # precedes each element of a BYTES tensor
_MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
# In protobuf's wire format: the number of the field, and the wire type of length-delimited content.
_RAW_TAG = bytes((service_pb2.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER << 3 | 2,))
# An unknown name may be a model that was just loaded, so the list of models is refreshed if it is older than this.
_FRESH_S = 1.0


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A detector ensemble, from its Triton configuration.

    Attributes:
        name: Name of the ensemble.
        labels: Class labels by class id.
        input_size: (height, width) of the detector's input; None if the configuration does not state it.
        thresholds: Score thresholds of the model by class id; None for classes, or models, that use the gateway's.
    """

    name: str
    labels: tuple[str, ...]
    input_size: tuple[int, int] | None = None
    thresholds: tuple[float | None, ...] | None = None


class TritonDetector:
    """One connection to Triton, with a cache of the models' configurations.

    Every method raises `DetectorUnavailableError` if Triton cannot respond, and `GatewayTimeoutError` if it does not
    respond in time. Cancelling a method's task cancels the call.
    """

    def __init__(self, url: str, *, model: str | None, info_ttl: float, timeout: float) -> None:
        """Create the channel, which connects at the first call. Requires a running event loop.

        Args:
            url: Triton's gRPC address, host:port.
            model: The default ensemble; None selects the first one in the order of `PREFERENCE` that is ready.
            info_ttl: Seconds for which the models' configurations are cached.
            timeout: Deadline of one call in seconds.
        """
        self._channel = grpc.aio.insecure_channel(url, options=_CHANNEL_ARGS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._model_infer = self._channel.unary_unary(
            _MODEL_INFER, response_deserializer=service_pb2.ModelInferResponse.FromString
        )
        self._model = model
        self._info_ttl = info_ttl
        self._timeout = timeout
        self._info: ModelInfo | None = None
        self._info_until = 0.0
        self._refresh_default = SingleFlight(self._query_default)
        self._catalogue: dict[str, ModelInfo] | None = None
        self._catalogue_at = 0.0
        self._refresh_catalogue = SingleFlight(self._query_catalogue)
        self._succeeded_at: float | None = None
        self._success_took = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._refresh_default.close()
        await self._refresh_catalogue.close()
        await self._channel.close()

    @property
    def seconds_since_success(self) -> float | None:
        """Seconds since the last successful inference; None if there was none, or Triton has failed since."""
        return None if self._succeeded_at is None else monotonic() - self._succeeded_at

    @property
    def seconds_of_success(self) -> float:
        """Duration of that inference in seconds, queueing included; 0 if there was none."""
        return self._success_took

    async def model_info(self, name: str | None = None) -> ModelInfo:
        """The configuration of an ensemble, from the cache unless it has expired or Triton has failed.

        Args:
            name: Name of the ensemble; None for the default one.

        Raises:
            UnknownModelError: No ensemble of that name is ready.
        """
        if name is not None:
            return await self._find_by_name(name)
        if self._info is not None and monotonic() < self._info_until:
            return self._info
        return await self._refresh_default()

    async def models(self) -> list[ModelInfo]:
        """All ensembles with class labels that are ready, ordered as candidates for the default."""
        return list((await self._cached_models(min(_FRESH_S, self._info_ttl))).values())

    async def infer(self, image: bytes, thresholds: NDArray[np.float32], model: ModelInfo) -> Detections:
        """Detect objects in one encoded image.

        Args:
            image: JPEG, PNG, WebP, BMP or TIFF.
            thresholds: float32 [classes]; an object is kept if its score is greater.
            model: The ensemble, from `model_info`.

        Returns:
            Boxes in pixels of the image.

        Raises:
            InputError: The model cannot decode this image; the text is its message.
            TooManyBytesError: Triton's shared memory is too small for this image.
        """
        request, started = serialize_request(image, thresholds, model.name), monotonic()
        try:
            response = await self._model_infer(request, timeout=self._timeout, metadata=trace_metadata())
        except grpc.RpcError as error:
            details = str(error.details() or "")
            message = clean_message(details)
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT and not _MISMATCH.search(message):
                raise _undecodable(message) from error
            check_shared_memory(details, len(image))
            raise self._unavailable(error, model.name) from error
        detections = self._parse_outputs(InferResult(response))
        # Readiness concerns the default model only.
        if self._info is not None and self._info.name == model.name:
            self._succeeded_at = monotonic()
            self._success_took = self._succeeded_at - started
        return detections

    async def _find_by_name(self, name: str) -> ModelInfo:
        # The name comes from the client, so it is looked up among the known ones and never sent to Triton.
        for max_age in (self._info_ttl, min(_FRESH_S, self._info_ttl)):
            models = await self._cached_models(max_age)
            if name in models:
                return models[name]
        raise UnknownModelError(name, list(models))

    async def _cached_models(self, max_age: float) -> dict[str, ModelInfo]:
        if self._catalogue is not None and monotonic() - self._catalogue_at < max_age:
            return self._catalogue
        return await self._refresh_catalogue()

    def _parse_outputs(self, result: Any) -> Detections:
        names = (interface.BOXES, interface.SCORES, interface.CLASS_IDS, interface.NUM_DETECTIONS)
        boxes, scores, class_ids, counts = arrays = [result.as_numpy(name) for name in names]
        if any(array is None for array in arrays):
            self._drop_cache()
            raise DetectorUnavailableError("The model's outputs are not those of a small-object detector")
        reason = result.as_numpy(interface.ERROR)
        if reason is not None and reason.size and reason.flat[0]:
            raise _undecodable(clean_message(bytes(reason.flat[0]).decode("utf-8", "replace")))
        count = int(counts.flat[0])
        return Detections(boxes[0, :count], scores[0, :count], class_ids[0, :count])

    async def _query_default(self) -> ModelInfo:
        try:
            info = await self._find_default()
        except grpc.RpcError as error:
            raise self._unavailable(error, self._model) from error
        self._info, self._info_until = info, monotonic() + self._info_ttl
        return info

    async def _find_default(self) -> ModelInfo:
        if self._model is not None:
            info = await self._query_config(self._model)
            if info is None:
                raise DetectorUnavailableError(f"The model {self._model} is not an ensemble with class labels")
            return info
        for name in await self._ready_names():
            info = await self._query_config(name)
            if info is not None:
                return info
        raise DetectorUnavailableError("The inference server has no detector that is ready")

    async def _query_catalogue(self) -> dict[str, ModelInfo]:
        try:
            names = await self._ready_names()
            infos = await asyncio.gather(*map(self._query_config_if_loaded, names))
        except grpc.RpcError as error:
            raise self._unavailable(error, None) from error
        self._catalogue = {info.name: info for info in infos if info is not None}
        self._catalogue_at = monotonic()
        return self._catalogue

    async def _ready_names(self) -> list[str]:
        index = await self._stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=self._timeout)
        return sorted({model.name for model in index.models if model.state == "READY"}, key=_preference)

    async def _query_config_if_loaded(self, name: str) -> ModelInfo | None:
        try:
            return await self._query_config(name)
        except grpc.RpcError as error:
            if _is_not_loaded(error):  # unloaded since the index was read
                return None
            raise

    async def _query_config(self, name: str) -> ModelInfo | None:
        """The configuration of a detector ensemble; None for another kind of model."""
        request = service_pb2.ModelConfigRequest(name=name)
        config = (await self._stub.ModelConfig(request, timeout=self._timeout)).config
        return read_info(config) if config.platform == "ensemble" else None

    def _unavailable(self, error: Any, model: str | None) -> DetectorUnavailableError | GatewayTimeoutError:
        """The error for the client. Triton's own message contains internal names; it is logged as the cause."""
        status, text = error.code(), str(error.details() or "")
        if status is grpc.StatusCode.DEADLINE_EXCEEDED:  # Triton is busy, not broken
            return GatewayTimeoutError(f"The inference server did not answer within {self._timeout:g} s; try again")
        self._drop_cache()
        if _STUB_DEAD.search(text):
            sentence = "A stage of the model has died in the inference server"
        elif _is_not_loaded(error):
            name = "The model" if model is None else f"The model {model}"
            sentence = f"{name} is not loaded in the inference server"
        elif status is grpc.StatusCode.UNAVAILABLE:
            sentence = "The inference server cannot be reached or is not ready"
        elif status is grpc.StatusCode.INVALID_ARGUMENT:
            sentence = "The model changed while the request was under way"
        else:
            sentence = "The inference server failed on this request"
        return DetectorUnavailableError(f"{sentence}; try again")

    def _drop_cache(self) -> None:
        self._info = self._catalogue = None
        self._succeeded_at = None


def serialize_request(image: bytes, thresholds: NDArray[np.float32], model: str) -> bytes:
    """Serialise a `ModelInferRequest`, copying the image once.

    Args:
        image: The encoded image.
        thresholds: float32 [classes].
        model: Name of the ensemble.
    """
    request = service_pb2.ModelInferRequest(model_name=model)
    request.inputs.add(name=interface.IMAGE, datatype="BYTES", shape=[1, 1])
    request.inputs.add(name=interface.SCORE_THRESHOLD, datatype="FP32", shape=[1, len(thresholds)])
    tensor = (_LENGTH.pack(len(image)), image)
    # Protobuf allows the fields in any order; repeated values of one field keep theirs.
    return b"".join((request.SerializeToString(), *_raw_input(*tensor), *_raw_input(thresholds.tobytes())))


def _raw_input(*content: bytes) -> tuple[bytes, ...]:
    """The parts of one `raw_input_contents` field: tag, length as a varint, content."""
    length, varint = sum(map(len, content)), bytearray()
    while length > 0x7F:
        varint.append(length & 0x7F | 0x80)
        length >>= 7
    varint.append(length)
    return _RAW_TAG, bytes(varint), *content


def clean_message(text: str) -> str:
    """The message of a stage about an image, without the prefixes and traceback that Triton adds."""
    end = 0
    while match := _PREFIX.match(text, end):
        end = match.end()
    message = text[end:].strip().split("\n", 1)[0].strip()
    return message[:_MAX_MESSAGE] or "The model cannot read this image"


def check_shared_memory(details: str, size: int) -> None:
    """Raise `TooManyBytesError` if Triton's error says that shared memory is too small for an image of `size` bytes.

    An image that would fit into the region if it were the only one is left to the caller: it may be sent again.
    """
    full = _SHARED_MEMORY_FULL.search(details)
    if full and size + _REGION_STEP >= (region := int(full[1]) - size):  # about the size that it has now
        metrics.record_rejection("shared_memory")
        raise TooManyBytesError(
            f"The image has {size:,} bytes; the inference server's shared memory has room for about {region:,}: send a "
            "smaller image, or enlarge /dev/shm there (docker run --shm-size)"
        )


def _undecodable(message: str) -> InputError:
    metrics.record_rejection("undecodable")
    return InputError(message)


def read_info(config: Any) -> ModelInfo | None:
    """Parse the parameters of an ensemble's configuration; None if it has no class labels."""
    labels = _json_parameter(config, "labels")
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        return None
    size = _json_parameter(config, "input_size")
    has_size = isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)
    return ModelInfo(
        name=config.name,
        # JSON can spell lone surrogates, UTF-8 cannot.
        labels=tuple(label.encode("utf-8", "replace").decode() for label in labels),
        input_size=(size[0], size[1]) if has_size else None,
        thresholds=_model_thresholds(_json_parameter(config, "default_threshold"), len(labels)),
    )


def _json_parameter(config: Any, key: str) -> Any:
    if key not in config.parameters:
        return None
    try:
        return json.loads(config.parameters[key].string_value)
    except (ValueError, RecursionError):
        return None


def _model_thresholds(value: object, classes: int) -> tuple[float | None, ...] | None:
    """The parameter `default_threshold`: a number, or an object of class id → number; None if it is neither."""
    if isinstance(value, dict):
        by_class = {str(class_id): score for class_id, score in value.items()}
        return tuple(by_class[str(i)] if _is_score(by_class.get(str(i))) else None for i in range(classes))
    return (float(value),) * classes if isinstance(value, int | float) and _is_score(value) else None


def _is_score(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1  # type: ignore[operator]


def _is_not_loaded(error: Any) -> bool:
    text = str(error.details() or "")
    return error.code() is grpc.StatusCode.NOT_FOUND or "is not found" in text or "has no available versions" in text


def _preference(name: str) -> tuple[int, str]:
    return (PREFERENCE.index(name) if name in PREFERENCE else len(PREFERENCE), name)
