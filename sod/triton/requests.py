"""Answering Triton's requests one by one in threads, each with its own success or error.

`execute` hands the requests to a pool and returns at once, so Triton can pass on the next ones while these are worked
on: no request waits for the slowest of a batch. OpenCV, OpenVINO, ONNX Runtime and Paddle release the GIL.
"""

import json
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from threading import Lock
from typing import Any, TypeVar

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from sod.errors import SodError, ThreadsExhaustedError
from sod.thread_pool import ReplacingThreadPool

# The backend's own types exist inside its stub process only.
Request = Any
Arrays = dict[str, NDArray[Any]]
Number = TypeVar("Number", int, float)


class ModelConfig:
    """What a model reads from its `config.pbtxt`."""

    def __init__(self, args: dict[str, str]) -> None:
        self._config = json.loads(args["model_config"])
        self.name: str = self._config["name"]
        self.version_dir = f"{args['model_repository']}/{args['model_version']}"
        self.model_filename: str = self._config.get("default_model_filename", "")
        self.instance_kind: str = args["model_instance_kind"]
        self.device_id = int(args["model_instance_device_id"])

    def parameter(self, key: str, default: str) -> str:
        """The value of `parameters { key: … value: { string_value: … } }`."""
        return str(self._config["parameters"].get(key, {}).get("string_value", default))

    def number(self, key: str, default: Number, *, least: float) -> Number:
        """The number in `parameters`, of the default's type.

        Raises:
            ValueError: It is none, or below `least`; Triton shows the text as the reason why the model is not loaded.
        """
        text, kind = self.parameter(key, str(default)), type(default)
        try:
            value = kind(text)
        except ValueError:
            value = kind(-1)
        if not least <= value < math.inf:
            wanted = "a whole number" if kind is int else "a number"
            raise ValueError(f"the parameter {key} of {self.name} is {text!r}: write {wanted} of at least {least}")
        return value

    def optimization_level(self) -> int:
        """`optimization { graph { level: … } }`, 0 if it is not set."""
        return int(self._config.get("optimization", {}).get("graph", {}).get("level", 0))

    def input_names(self) -> list[str]:
        """Names of the inputs, in order."""
        return [str(tensor["name"]) for tensor in self._config["input"]]

    def output_names(self) -> list[str]:
        """Names of the outputs, in order."""
        return [str(tensor["name"]) for tensor in self._config["output"]]

    def input_dims(self, name: str) -> list[int]:
        """Dims of an input, without the batch axis."""
        return self._dims("input", name)

    def output_dims(self, name: str) -> list[int]:
        """Dims of an output, without the batch axis."""
        return self._dims("output", name)

    def _dims(self, side: str, name: str) -> list[int]:
        return next([int(d) for d in tensor["dims"]] for tensor in self._config[side] if tensor["name"] == name)


class RequestPool:
    """Threads that compute the responses of requests.

    Args:
        compute: makes the outputs of one request from its inputs, both by name, batch axis first. A `SodError` that it
            raises goes to the caller as INVALID_ARGUMENT, anything else as INTERNAL.
        inputs: names of the inputs that `compute` is given; an optional one that a request lacks is left out.
        threads: requests that are processed at a time.
        time_limit_s: seconds for one request; then it fails with INVALID_ARGUMENT, and its thread is replaced.
    """

    def __init__(
        self,
        compute: Callable[[Arrays], Arrays],
        inputs: Sequence[str],
        threads: int,
        *,
        time_limit_s: float = math.inf,
    ) -> None:
        self._compute = compute
        self._inputs = inputs
        self._pool = ReplacingThreadPool(threads, time_limit_s=time_limit_s, name="request")

    def submit(self, requests: Sequence[Request]) -> None:
        """Queue requests; each gets exactly one response, in any order."""
        for request in requests:
            sender = _OneResponse(request.get_response_sender())
            try:
                future = self._pool.submit(self._respond, request, sender)
            except ThreadsExhaustedError as error:
                sender.send(error_response(error))
            else:
                future.add_done_callback(partial(_respond_to_failure, sender))

    def close(self) -> None:
        """Wait for the queued requests, but not for stuck ones."""
        self._pool.shutdown()

    def _respond(self, request: Request, sender: "_OneResponse") -> None:
        try:
            response = self._response(request)
        except Exception as error:  # a request without a response would hang its caller for ever
            response = error_response(error)
        sender.send(response)

    def _response(self, request: Request) -> Any:
        if request.is_cancelled():
            return cancelled_response()
        tensors = {name: pb_utils.get_input_tensor_by_name(request, name) for name in self._inputs}
        inputs = {name: tensor.as_numpy() for name, tensor in tensors.items() if tensor is not None}
        outputs = self._compute(inputs)
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in outputs.items()])


class _OneResponse:
    """Sends the first response only: a request that took too long has had its error when its result comes."""

    def __init__(self, sender: Any) -> None:
        self._sender = sender
        self._lock = Lock()

    def send(self, response: Any) -> None:
        with self._lock:
            sender, self._sender = self._sender, None
        if sender is not None:
            sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def _respond_to_failure(sender: _OneResponse, future: "Future[None]") -> None:
    """The pool gave the task up; `RequestPool._respond` raises nothing itself."""
    error = future.exception()
    if isinstance(error, Exception):
        sender.send(error_response(error))


def error_response(error: Exception) -> Any:
    """The response to a request that failed; what is not the sender's fault is logged."""
    if isinstance(error, SodError):
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG))
    message = f"{type(error).__name__}: {error}"
    pb_utils.Logger.log_error(message)
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INTERNAL))


def cancelled_response() -> Any:
    """The response to a request that its caller has cancelled."""
    error = pb_utils.TritonError("the caller has cancelled the request", pb_utils.TritonError.CANCELLED)
    return pb_utils.InferenceResponse(error=error)


def as_bytes(texts: Sequence[str]) -> NDArray[np.object_]:
    """A BYTES tensor [N, 1] of texts."""
    return np.array([[text.encode()] for text in texts], object)
