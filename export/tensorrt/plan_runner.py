"""Runs a plan with `tensorrt` and the CUDA runtime library of the Triton image."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import ExportError
from export.tensorrt.onnx_network import Messages, make_logger
from export.verification.reference import Detector, RawOutputs
from sod.interface import BOXES, PIXELS, SCORES

_LIBRARIES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so")
_TO_DEVICE, _TO_HOST = 1, 2


class Cuda:
    """The CUDA runtime calls that a plan needs, by ctypes: a Python package would have to fit the image's CUDA."""

    def __init__(self, library: Any = None) -> None:
        self._library = library or _load_cuda_runtime()

    def allocate(self, size: int) -> int:
        """Allocate `size` bytes of device memory and return the address."""
        address = ctypes.c_void_p()
        self._call("cudaMalloc", ctypes.byref(address), ctypes.c_size_t(size))
        return address.value or 0

    def free(self, address: int) -> None:
        """Free device memory."""
        self._call("cudaFree", ctypes.c_void_p(address))

    def upload(self, address: int, array: NDArray[Any]) -> None:
        """Copy a contiguous array to the device."""
        self._copy(address, array.ctypes.data, array.nbytes, _TO_DEVICE)

    def download(self, array: NDArray[Any], address: int) -> None:
        """Fill a contiguous array from the device."""
        self._copy(array.ctypes.data, address, array.nbytes, _TO_HOST)

    def synchronise(self) -> None:
        """Wait for all queued work."""
        self._call("cudaDeviceSynchronize")

    def _copy(self, target: int, source: int, size: int, kind: int) -> None:
        self._call("cudaMemcpy", ctypes.c_void_p(target), ctypes.c_void_p(source), ctypes.c_size_t(size), kind)

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise ExportError(
                f"{name} failed with CUDA error {status}: check that this machine has an NVIDIA GPU and its driver"
            )


def plan_detector(trt: Any, plan_path: Path, cuda: Cuda | None = None) -> Detector:
    """Load a plan as a detector.

    Args:
        trt: of `plan.import_tensorrt`.
        plan_path: the plan.
        cuda: None for the library of this machine.

    Raises:
        ExportError: TensorRT cannot load or run the plan, or there is no CUDA.
    """
    cuda = cuda or Cuda()
    messages = Messages()
    logger = make_logger(trt, messages)
    runtime = trt.Runtime(logger)
    engine = runtime.deserialize_cuda_engine(plan_path.read_bytes())
    if engine is None:
        raise ExportError(f"TensorRT {trt.__version__} cannot load {plan_path.name}: {'; '.join(messages.errors)}")
    context = engine.create_execution_context()
    owners = logger, runtime, engine  # must live as long as the context

    def run(pixels: NDArray[np.uint8], _owners: object = owners) -> RawOutputs:
        context.set_input_shape(PIXELS, tuple(pixels.shape))
        arrays: dict[str, NDArray[Any]] = {PIXELS: np.ascontiguousarray(pixels)}
        for name in (BOXES, SCORES):
            arrays[name] = np.empty(tuple(context.get_tensor_shape(name)), np.float32)
        with _on_device(cuda, arrays) as addresses:
            cuda.upload(addresses[PIXELS], arrays[PIXELS])
            for name, address in addresses.items():
                context.set_tensor_address(name, address)
            # The run and the copies use the default stream, which executes them in order.
            if not context.execute_async_v3(0):
                raise ExportError(f"TensorRT cannot run {plan_path.name}: {'; '.join(messages.errors)}")
            cuda.synchronise()
            for name in (BOXES, SCORES):
                cuda.download(arrays[name], addresses[name])
        return arrays[BOXES], arrays[SCORES]

    return run


@contextmanager
def _on_device(cuda: Cuda, arrays: dict[str, NDArray[Any]]) -> Iterator[dict[str, int]]:
    addresses: dict[str, int] = {}
    try:
        for name, array in arrays.items():
            addresses[name] = cuda.allocate(array.nbytes)
        yield addresses
    finally:
        for address in addresses.values():
            cuda.free(address)


def _load_cuda_runtime() -> ctypes.CDLL:
    for name in _LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise ExportError(f"the CUDA runtime ({', '.join(_LIBRARIES)}) was not found: run this inside the Triton image")
