"""One Triton: its channel, its work, and whether it gets requests."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from gateway.inference.replicas.workload import Job, Workload
from gateway.observability.tracing import trace_metadata

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
    # The gateway decides about retries: gRPC knows no other replica, and keeps no copy of a message over 256 KiB.
    ("grpc.enable_retries", 0),
]
_MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
# A request is given up when the replica has answered nothing for this many times the expected duration, and at least as
# many seconds, while another one has answered: otherwise it is the machine or the network that is slow.
_PATIENCE = 4
_SHORTEST_PATIENCE_S = 1.0


class StalledError(Exception):
    """The replica has answered nothing for so long that another one is to be asked."""


class Replica:
    """One Triton. All but `infer` is for the pool and the catalogue.

    Attributes:
        address: host:port.
        stub: gRPC's generated stub.
        workload: Its requests.
        serving: Whether it gets requests; False until a canary has passed, and after a failure until the next one has.
    """

    def __init__(self, address: str, *, serving: bool, elsewhere: Callable[["Replica"], float]) -> None:
        """Create the channel, which connects at the first call. Requires a running event loop.

        Args:
            address: host:port.
            serving: Whether it gets requests from the start.
            elsewhere: Returns when another replica than this one has answered last, by `time.monotonic()`.
        """
        self.address = address
        self._elsewhere = elsewhere
        self.serving = serving
        self.workload = Workload()
        self._channel = grpc.aio.insecure_channel(address, options=_CHANNEL_ARGS)
        self.stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._model_infer = self._channel.unary_unary(
            _MODEL_INFER, response_deserializer=service_pb2.ModelInferResponse.FromString
        )
        self._calls: dict[Any, asyncio.Event] = {}

    async def close(self) -> None:
        """Close the channel; requests in it fail."""
        await self._channel.close()

    async def infer(self, request: bytes, model: str, timeout_s: float, *, may_stall: bool) -> Any:
        """Send a `ModelInferRequest` and return the `ModelInferResponse`.

        Args:
            request: The serialised message.
            model: Name of the ensemble, by which its work is estimated.
            timeout_s: Deadline in seconds.
            may_stall: Whether to raise `StalledError` if the replica answers nothing, to this and to others.

        Raises:
            grpc.RpcError: Triton's error.
            StalledError: See above.
        """
        with self.workload.job(model) as job:
            call = self._model_infer(request, timeout=timeout_s, metadata=trace_metadata())
            if not may_stall:
                response = await call
            else:
                response = await self._watch(call, job, timeout_s / 2)
            job.measured = True
            return response

    def give_up(self) -> None:
        """Let every request in the replica, of those that may stall, raise `StalledError` at once."""
        for call, stalled in list(self._calls.items()):
            stalled.set()
            call.cancel()

    async def _watch(self, call: Any, job: Job, longest: float) -> Any:
        stalled = asyncio.Event()
        loop = asyncio.get_running_loop()
        known = self.workload.seconds(job.model) is not None
        patience = min(max(_PATIENCE * job.expected, _SHORTEST_PATIENCE_S), longest) if known else longest

        timer: asyncio.TimerHandle

        def check() -> None:
            nonlocal timer
            silent = monotonic() - max(job.started, self.workload.finished_at)
            enough = patience if self._elsewhere(self) > job.started else longest
            if silent >= enough:
                stalled.set()
                call.cancel()
            else:
                timer = loop.call_later(min(enough - silent, patience), check)

        timer = loop.call_later(patience, check)
        self._calls[call] = stalled
        try:
            return await call
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not stalled.is_set() or (task is not None and task.cancelling()):
                raise
            raise StalledError from None
        finally:
            timer.cancel()
            del self._calls[call]
