"""The client of Triton over gRPC: encoded images or pixels in, `sod.Detections` out."""

from time import monotonic
from types import TracebackType
from typing import Any, Self

import grpc
from tritonclient.grpc import InferResult, service_pb2, service_pb2_grpc

from gateway.errors import DetectorUnavailableError, GatewayError
from gateway.inference.model_catalogue import ModelCatalogue, ModelInfo
from gateway.inference.postprocess import PostprocessOptions
from gateway.inference.tensors import ResizedImage, image_size, serialize_request
from gateway.inference.triton_errors import client_error, undecodable
from gateway.observability.tracing import trace_metadata
from sod import interface
from sod.detections import Detections

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
_MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"


class TritonDetector:
    """One connection to Triton, with a catalogue of its models.

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
        self._model_infer = self._channel.unary_unary(
            _MODEL_INFER, response_deserializer=service_pb2.ModelInferResponse.FromString
        )
        stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._catalogue = ModelCatalogue(stub, default=model, ttl=info_ttl, timeout=timeout)
        self._timeout = timeout
        self._succeeded_at: float | None = None
        self._success_took = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._catalogue.close()
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
        try:
            return await self._catalogue.get(name)
        except grpc.RpcError as error:
            raise self._failed(error, name) from error

    async def models(self) -> list[ModelInfo]:
        """All ensembles with class labels that are ready, ordered as candidates for the default."""
        try:
            return await self._catalogue.all()
        except grpc.RpcError as error:
            raise self._failed(error, None) from error

    async def infer(self, image: bytes | ResizedImage, options: PostprocessOptions, model: ModelInfo) -> Detections:
        """Detect objects in one image.

        Args:
            image: JPEG, PNG, WebP, BMP or TIFF; or, if the model has a `pixel_entrance`, pixels of its `input_size`.
            options: Which objects are kept; a model whose `nms_inputs` is false takes thresholds only.
            model: The ensemble, from `model_info`.

        Returns:
            Boxes in pixels of the source image.

        Raises:
            InputError: The model cannot decode this image; the text is its message.
            TooManyBytesError: Triton's shared memory is too small for this image.
        """
        name = model.name if isinstance(image, bytes) else model.pixel_entrance
        request, started = serialize_request(image, options, name), monotonic()
        try:
            response = await self._model_infer(request, timeout=self._timeout, metadata=trace_metadata())
        except grpc.RpcError as error:
            raise self._failed(error, model.name, image_size(image)) from error
        detections = self._parse_outputs(InferResult(response))
        if self._catalogue.is_default(model):  # readiness concerns no other
            self._succeeded_at = monotonic()
            self._success_took = self._succeeded_at - started
        return detections

    def _parse_outputs(self, result: Any) -> Detections:
        names = (interface.BOXES, interface.SCORES, interface.CLASS_IDS, interface.NUM_DETECTIONS)
        boxes, scores, class_ids, counts = arrays = [result.as_numpy(name) for name in names]
        if any(array is None for array in arrays):
            self._drop_cache()
            raise DetectorUnavailableError("The model's outputs are not those of a small-object detector")
        reason = result.as_numpy(interface.ERROR)
        if reason is not None and reason.size and reason.flat[0]:
            raise undecodable(bytes(reason.flat[0]).decode("utf-8", "replace"))
        count = int(counts.flat[0])
        return Detections(boxes[0, :count], scores[0, :count], class_ids[0, :count])

    def _failed(self, error: grpc.RpcError, model: str | None, size: int = 0) -> GatewayError:
        failure = client_error(error, model, self._timeout, size)
        if isinstance(failure, DetectorUnavailableError):
            self._drop_cache()
        return failure

    def _drop_cache(self) -> None:
        self._catalogue.drop()
        self._succeeded_at = None
