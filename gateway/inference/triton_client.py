"""The client of Triton over gRPC: encoded images or pixels in, `sod.Detections` out."""

import asyncio
from functools import cache
from time import monotonic
from types import TracebackType
from typing import Any, Literal, Self

import grpc
import numpy as np
from tritonclient.grpc import InferResult

from gateway.errors import DetectorUnavailableError, GatewayError, GatewayTimeoutError
from gateway.inference.model_catalogue import ModelCatalogue, ModelInfo
from gateway.inference.postprocess import PostprocessOptions
from gateway.inference.replicas.pool import ReplicaPool
from gateway.inference.replicas.replica import Replica, StalledError
from gateway.inference.tensors import ResizedImage, image_size, serialize_request
from gateway.inference.triton_errors import client_error, is_broken, is_refused, undecodable
from gateway.observability import metrics
from sod import interface
from sod.detections import Detections
from sod.encode import encode_image
from sod.triton_addresses import TritonAddresses

_PROBE_SIDE = 32


@cache
def probe_image() -> bytes:
    """A small grey image, encoded, whose inference shows that the whole ensemble works."""
    return encode_image(np.full((_PROBE_SIDE, _PROBE_SIDE, 3), 128, np.uint8))


class TritonDetector:
    """The connections to Triton, or to several Tritons that serve the same models, with a catalogue of the models.

    Every method raises `DetectorUnavailableError` if Triton cannot respond, and `GatewayTimeoutError` if it does not
    respond in time. Cancelling a method's task cancels the call.
    """

    def __init__(  # noqa: PLR0913 - settings, by name
        self,
        addresses: TritonAddresses,
        *,
        model: str | None,
        info_ttl: float,
        timeout: float,
        canary_timeout: float = 20.0,
        resolve_interval: float = 5.0,
    ) -> None:
        """Create the channels, which connect at the first call. Requires a running event loop.

        Args:
            addresses: Where Triton is, or several are.
            model: The default ensemble; None selects the first one in the order of `PREFERENCE` that is ready.
            info_ttl: Seconds for which the models' configurations are cached.
            timeout: Deadline of one call in seconds.
            canary_timeout: Deadline of the inference after which an ejected Triton gets requests again, in seconds.
            resolve_interval: Seconds between two lookups of DNS names.
        """
        self._timeout = timeout
        self._canary_timeout = canary_timeout
        self._succeeded_at: float | None = None
        self._success_took = 0.0
        self._pool = ReplicaPool(
            addresses,
            canary=self._canary,
            changed=self._forget_models,
            resolve_interval=resolve_interval,
        )
        self._catalogue = ModelCatalogue(
            lambda: self._pool.usable,
            silent=lambda replica: self._pool.eject(replica, "it does not list its models", stalled=True),
            default=model,
            ttl=info_ttl,
            timeout=timeout,
        )

    async def __aenter__(self) -> Self:
        await self._pool.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._catalogue.close()
        await self._pool.close()

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
            response = await self._ask(request, model, self._timeout)
        except (grpc.RpcError, StalledError) as error:
            raise self._failed(error, model.name, image_size(image)) from error
        detections = self._parse_outputs(InferResult(response))
        if self._catalogue.is_default(model):  # readiness concerns no other
            self._succeeded_at = monotonic()
            self._success_took = self._succeeded_at - started
        return detections

    async def _ask(self, request: bytes, model: ModelInfo, timeout_s: float) -> Any:
        """Ask a replica, and another one if it has not worked on the request or answers nothing."""
        having = self._catalogue.having(model)
        first = self._pool.choose(model.name, having)
        if first is None:
            raise DetectorUnavailableError("No inference server is known; try again")
        if self._pool.single:
            return await first.infer(request, model.name, timeout_s, may_stall=False)
        started = monotonic()
        try:
            return await self._infer(first, request, model, timeout_s)
        except (grpc.RpcError, StalledError) as error:
            if isinstance(error, grpc.RpcError) and not is_refused(error):
                raise
            second = self._pool.choose(model.name, having, without=first)
            if second is None:
                raise
            metrics.record_retry()
            return await self._infer(second, request, model, started + timeout_s - monotonic())

    async def _infer(self, replica: Replica, request: bytes, model: ModelInfo, timeout_s: float) -> Any:
        """Ask a replica, and eject it if it fails."""
        outcome: Literal["answered", "failed", "cancelled"] = "failed"
        try:
            response = await replica.infer(request, model.name, timeout_s, may_stall=True)
            outcome = "answered"
            return response
        except StalledError:
            self._pool.eject(replica, "it answers nothing", stalled=True)
            raise
        except grpc.RpcError as error:
            if is_broken(error):
                self._pool.eject(replica, str(client_error(error, model.name, timeout_s)))
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            metrics.record_replica_request(replica.address, outcome)

    async def _canary(self, replica: Replica) -> str | None:
        """What is wrong with a replica, by an inference with its default model; None if nothing is."""
        try:
            async with asyncio.timeout(self._canary_timeout):
                models, _ = await self._catalogue.read(replica)
                model = self._catalogue.first(models)
                if model is None:
                    return "it has no detector that is ready"
                nothing = PostprocessOptions(np.ones(len(model.labels), np.float32))
                request = serialize_request(probe_image(), nothing, model.name)
                response = await replica.infer(request, model.name, self._canary_timeout, may_stall=False)
                self._parse_outputs(InferResult(response))
        except TimeoutError:
            return f"it did not answer within {self._canary_timeout:g} s"
        except grpc.RpcError as error:
            return str(client_error(error, None, self._canary_timeout))
        except GatewayError as error:
            return str(error)
        return None

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

    def _failed(self, error: grpc.RpcError | StalledError, model: str | None, size: int = 0) -> GatewayError:
        if isinstance(error, StalledError):
            return GatewayTimeoutError("The inference server does not answer; try again")
        failure = client_error(error, model, self._timeout, size)
        if isinstance(failure, DetectorUnavailableError):
            self._drop_cache()
        return failure

    def _forget_models(self) -> None:
        self._catalogue.drop()

    def _drop_cache(self) -> None:
        self._catalogue.drop()
        self._succeeded_at = None
