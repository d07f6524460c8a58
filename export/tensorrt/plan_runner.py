"""Runs a plan, one image at a time, with `tensorrt` and the CUDA runtime library that Triton itself brings."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import ExportError
from export.tensorrt.network import Messages, make_logger
from export.verification.reference import Detector, Raw
from sod.interface import BOXES, PIXELS, SCORES

_LIBRARIES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so")
_TO_DEVICE, _TO_HOST = 1, 2


class Cuda:
    """The five calls of the CUDA runtime that a plan needs: no package, so none that must fit the image."""

    def __init__(self, library: Any = None) -> None:
        self._library = library or _load()

    def allocate(self, size: int) -> int:
        """Device memory of so many bytes."""
        address = ctypes.c_void_p()
        self._call("cudaMalloc", ctypes.byref(address), ctypes.c_size_t(size))
        return address.value or 0

    def free(self, address: int) -> None:
        """Give it back."""
        self._call("cudaFree", ctypes.c_void_p(address))

    def upload(self, address: int, array: NDArray[Any]) -> None:
        """Copy a contiguous array to the device."""
        self._copy(address, array.ctypes.data, array.nbytes, _TO_DEVICE)

    def download(self, array: NDArray[Any], address: int) -> None:
        """Fill a contiguous array from the device."""
        self._copy(array.ctypes.data, address, array.nbytes, _TO_HOST)

    def synchronise(self) -> None:
        """Wait for all that was queued."""
        self._call("cudaDeviceSynchronize")

    def _copy(self, target: int, source: int, size: int, kind: int) -> None:
        self._call("cudaMemcpy", ctypes.c_void_p(target), ctypes.c_void_p(source), ctypes.c_size_t(size), kind)

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise ExportError(f"{name} fails with CUDA error {status}: is there a GPU, and a driver for it?")


def plan_detector(trt: Any, plan_path: Path, cuda: Cuda | None = None) -> Detector:
    """The plan as a detector.

    Raises:
        ExportError: TensorRT cannot load or run it, or there is no CUDA.
    """
    cuda = cuda or Cuda()
    messages = Messages()
    logger = make_logger(trt, messages)
    runtime = trt.Runtime(logger)
    engine = runtime.deserialize_cuda_engine(plan_path.read_bytes())
    if engine is None:
        raise ExportError(f"TensorRT {trt.__version__} cannot load {plan_path.name}: {'; '.join(messages.errors)}")
    context = engine.create_execution_context()
    alive = logger, runtime, engine  # as long as the context

    def run(pixels: NDArray[np.uint8], _alive: object = alive) -> Raw:
        context.set_input_shape(PIXELS, tuple(pixels.shape))
        arrays: dict[str, NDArray[Any]] = {PIXELS: np.ascontiguousarray(pixels)}
        for name in (BOXES, SCORES):
            arrays[name] = np.empty(tuple(context.get_tensor_shape(name)), np.float32)
        with _on_device(cuda, arrays) as addresses:
            cuda.upload(addresses[PIXELS], arrays[PIXELS])
            for name, address in addresses.items():
                context.set_tensor_address(name, address)
            # The default stream: copies on it wait for the run, and the other way round.
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


def _load() -> ctypes.CDLL:
    for name in _LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise ExportError(f"none of {', '.join(_LIBRARIES)} is found: run this inside the Triton image")
