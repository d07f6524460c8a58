"""The adapter to Triton over gRPC: images in, `sod.Detections` out. Only this module imports tritonclient.

It speaks through the generated stub, and writes the one large message itself: on its way into `tritonclient.grpc.aio`
an image is copied so often that 1.2 MB take the event loop 3 ms; a message of the stub takes three times as long to
make as the bytes here.
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

from gateway.errors import DetectorUnavailableError, GatewayTimeoutError, InputError, UnknownModelError
from gateway.inference.single_flight import SingleFlight
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
    # When Triton is back it is found within a second; gRPC's own back-off grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # An http_proxy in the environment is not meant for the way to Triton.
    ("grpc.enable_http_proxy", 0),
    # Clients in one process share no connection, and so no back-off.
    ("grpc.use_local_subchannel_pool", 1),
]

# What Triton and its Python backend put around the sentence that a stage wrote.
_PREFIX = re.compile(
    r"\s*(?:\[StatusCode\.\w+\]"
    r"|\[request id: [^\]]*\]"
    r"|in ensemble '[^']*',"
    r"|Failed to process the request\(s\) for model (?:instance )?'[^']*', message:"
    r"|TritonModelException:)\s*"
)
# Triton's core refuses a request that does not fit the model with the same status as a broken image.
_MISFIT = re.compile(
    r"for model '|data-type is|batch-size must|unexpected (?:shape|inference input|datatype)|expected \d+ inputs?"
    rf"|^{interface.SCORE_THRESHOLD} has \d+ values"
)
_STUB_DEAD = re.compile(r"stub process.*not healthy", re.IGNORECASE | re.DOTALL)
_LONGEST = 500
_LENGTH = struct.Struct("<I")  # before each element of a BYTES tensor
_MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
# Of protobuf's wire format: the field's number, and that a length and so many bytes follow.
_RAW_TAG = bytes((service_pb2.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER << 3 | 2,))
# A model that is asked for and not known may have been loaded just now: what is known is then this old at most.
_FRESH_S = 1.0


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """An ensemble as its configuration describes it.

    Attributes:
        name: Triton's.
        labels: of its classes, by class id.
        input_size: (height, width) of the detector's input; None if the configuration does not say.
        thresholds: score threshold by class id where the model brings its own; None for the gateway's.
    """

    name: str
    labels: tuple[str, ...]
    input_size: tuple[int, int] | None = None
    thresholds: tuple[float | None, ...] | None = None


class TritonDetector:
    """One connection to Triton, and what is known of the model behind it.

    Every method raises `DetectorUnavailableError` where Triton cannot answer, and `GatewayTimeoutError` where it is
    late. Cancelling a method's task cancels the call.
    """

    def __init__(self, url: str, *, model: str | None, info_ttl: float, timeout: float) -> None:
        """Connect lazily; call this in the running event loop.

        Args:
            url: Triton's gRPC address, host:port.
            model: The ensemble; None takes the first one that is ready, by preference.
            info_ttl: Seconds that what is known of the models is kept.
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
        self._ask = SingleFlight(self._ask_model)
        self._catalogue: dict[str, ModelInfo] | None = None
        self._catalogue_at = 0.0
        self._list = SingleFlight(self._list_models)
        self._succeeded_at: float | None = None
        self._took = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._ask.close()
        await self._list.close()
        await self._channel.close()

    @property
    def seconds_since_success(self) -> float | None:
        """Age of the last inference that succeeded; None if there was none, or Triton failed since."""
        return None if self._succeeded_at is None else monotonic() - self._succeeded_at

    @property
    def seconds_of_success(self) -> float:
        """What that inference took, its waiting included; 0 if there was none."""
        return self._took

    async def model_info(self, name: str | None = None) -> ModelInfo:
        """An ensemble, asked anew when what is known has grown old or Triton has failed.

        Args:
            name: of the ensemble; None is the default one.

        Raises:
            UnknownModelError: no ensemble of that name is ready.
        """
        if name is not None:
            return await self._named(name)
        if self._info is not None and monotonic() < self._info_until:
            return self._info
        return await self._ask()

    async def models(self) -> list[ModelInfo]:
        """All ensembles with class labels that are ready, in the order in which one would be the default."""
        return list((await self._known_models(min(_FRESH_S, self._info_ttl))).values())

    async def infer(self, image: bytes, thresholds: NDArray[np.float32], model: ModelInfo) -> Detections:
        """Detect objects in one encoded image.

        Args:
            image: JPEG, PNG, ….
            thresholds: float32 [classes]; an object is kept if its score is greater.
            model: What `model_info` said.

        Raises:
            InputError: the model cannot read this image; the text is its sentence.
        """
        message, started = infer_request(image, thresholds, model.name), monotonic()
        try:
            response = await self._model_infer(message, timeout=self._timeout, metadata=trace_metadata())
        except grpc.RpcError as error:
            sentence = clean_sentence(str(error.details() or ""))
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT and not _MISFIT.search(sentence):
                raise InputError(sentence) from error
            raise self._unavailable(error, model.name) from error
        detections = self._read(InferResult(response))
        # Readiness is the default model's; that another one works says nothing of it.
        if self._info is not None and self._info.name == model.name:
            self._succeeded_at = monotonic()
            self._took = self._succeeded_at - started
        return detections

    async def _named(self, name: str) -> ModelInfo:
        # The name is looked up, never sent: it is the client's.
        for age in (self._info_ttl, min(_FRESH_S, self._info_ttl)):
            known = await self._known_models(age)
            if name in known:
                return known[name]
        raise UnknownModelError(name, list(known))

    async def _known_models(self, age: float) -> dict[str, ModelInfo]:
        if self._catalogue is not None and monotonic() - self._catalogue_at < age:
            return self._catalogue
        return await self._list()

    def _read(self, result: Any) -> Detections:
        wanted = (interface.BOXES, interface.SCORES, interface.CLASS_IDS, interface.NUM_DETECTIONS)
        boxes, scores, class_ids, counts = arrays = [result.as_numpy(name) for name in wanted]
        if any(array is None for array in arrays):
            self._forget()
            raise DetectorUnavailableError("The model's outputs are not those of a small-object detector")
        reason = result.as_numpy(interface.ERROR)
        if reason is not None and reason.size and reason.flat[0]:
            raise InputError(clean_sentence(bytes(reason.flat[0]).decode("utf-8", "replace")))
        count = int(counts.flat[0])
        return Detections(boxes[0, :count], scores[0, :count], class_ids[0, :count])

    async def _ask_model(self) -> ModelInfo:
        try:
            info = await self._find_model()
        except grpc.RpcError as error:
            raise self._unavailable(error, self._model) from error
        self._info, self._info_until = info, monotonic() + self._info_ttl
        return info

    async def _find_model(self) -> ModelInfo:
        if self._model is not None:
            info = await self._ask_config(self._model)
            if info is None:
                raise DetectorUnavailableError(f"The model {self._model} is not an ensemble with class labels")
            return info
        for name in await self._ready_names():
            info = await self._ask_config(name)
            if info is not None:
                return info
        raise DetectorUnavailableError("The inference server has no detector that is ready")

    async def _list_models(self) -> dict[str, ModelInfo]:
        try:
            names = await self._ready_names()
            infos = await asyncio.gather(*map(self._ask_config_if_there, names))
        except grpc.RpcError as error:
            raise self._unavailable(error, None) from error
        self._catalogue = {info.name: info for info in infos if info is not None}
        self._catalogue_at = monotonic()
        return self._catalogue

    async def _ready_names(self) -> list[str]:
        index = await self._stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=self._timeout)
        return sorted({model.name for model in index.models if model.state == "READY"}, key=_preference)

    async def _ask_config_if_there(self, name: str) -> ModelInfo | None:
        try:
            return await self._ask_config(name)
        except grpc.RpcError as error:
            if _is_not_loaded(error):  # unloaded since the index was made
                return None
            raise

    async def _ask_config(self, name: str) -> ModelInfo | None:
        """What an ensemble's configuration says; None for a model that is no such ensemble."""
        request = service_pb2.ModelConfigRequest(name=name)
        config = (await self._stub.ModelConfig(request, timeout=self._timeout)).config
        return read_info(config) if config.platform == "ensemble" else None

    def _unavailable(self, error: Any, model: str | None) -> DetectorUnavailableError | GatewayTimeoutError:
        """The sentence for the client; Triton's own, which names insides, goes to the log as the cause."""
        status, text = error.code(), str(error.details() or "")
        if status is grpc.StatusCode.DEADLINE_EXCEEDED:  # a busy Triton is no broken one
            return GatewayTimeoutError(f"The inference server did not answer within {self._timeout:g} s; try again")
        self._forget()
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

    def _forget(self) -> None:
        self._info = self._catalogue = None
        self._succeeded_at = None


def infer_request(image: bytes, thresholds: NDArray[np.float32], model: str) -> bytes:
    """A `ModelInferRequest` as it goes over the wire; the image is copied once.

    Args:
        image: encoded.
        thresholds: float32 [classes].
        model: its name.
    """
    request = service_pb2.ModelInferRequest(model_name=model)
    request.inputs.add(name=interface.IMAGE, datatype="BYTES", shape=[1, 1])
    request.inputs.add(name=interface.SCORE_THRESHOLD, datatype="FP32", shape=[1, len(thresholds)])
    tensor = (_LENGTH.pack(len(image)), image)
    # Fields may follow each other in any order; those of one number keep theirs.
    return b"".join((request.SerializeToString(), *_raw_input(*tensor), *_raw_input(thresholds.tobytes())))


def _raw_input(*content: bytes) -> tuple[bytes, ...]:
    """The parts of one `raw_input_contents`, whose content comes in parts itself."""
    length, varint = sum(map(len, content)), bytearray()
    while length > 0x7F:
        varint.append(length & 0x7F | 0x80)
        length >>= 7
    varint.append(length)
    return _RAW_TAG, bytes(varint), *content


def clean_sentence(text: str) -> str:
    """What a stage says of an image, without what Triton puts around it: prefixes, and a traceback's lines."""
    end = 0
    while match := _PREFIX.match(text, end):
        end = match.end()
    sentence = text[end:].strip().split("\n", 1)[0].strip()
    return sentence[:_LONGEST] or "The model cannot read this image"


def read_info(config: Any) -> ModelInfo | None:
    """What an ensemble's configuration says in its parameters; None if it names no class labels."""
    labels = _json_parameter(config, "labels")
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        return None
    size = _json_parameter(config, "input_size")
    sized = isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)
    return ModelInfo(
        name=config.name,
        # JSON can spell lone surrogates, UTF-8 cannot.
        labels=tuple(label.encode("utf-8", "replace").decode() for label in labels),
        input_size=(size[0], size[1]) if sized else None,
        thresholds=_own_thresholds(_json_parameter(config, "default_threshold"), len(labels)),
    )


def _json_parameter(config: Any, key: str) -> Any:
    if key not in config.parameters:
        return None
    try:
        return json.loads(config.parameters[key].string_value)
    except (ValueError, RecursionError):
        return None


def _own_thresholds(given: object, classes: int) -> tuple[float | None, ...] | None:
    """The parameter `default_threshold`: a number, or an object of class id → number; None if it is neither."""
    if isinstance(given, dict):
        by_class = {str(class_id): value for class_id, value in given.items()}
        return tuple(by_class[str(i)] if _is_score(by_class.get(str(i))) else None for i in range(classes))
    return (float(given),) * classes if isinstance(given, int | float) and _is_score(given) else None


def _is_score(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1  # type: ignore[operator]


def _is_not_loaded(error: Any) -> bool:
    text = str(error.details() or "")
    return error.code() is grpc.StatusCode.NOT_FOUND or "is not found" in text or "has no available versions" in text


def _preference(name: str) -> tuple[int, str]:
    return (PREFERENCE.index(name) if name in PREFERENCE else len(PREFERENCE), name)
