"""OpenVINO backend: reads the config.pbtxt of Triton's C++ `openvino` backend.

Parameters: `PERFORMANCE_HINT` (LATENCY, THROUGHPUT), `NUM_STREAMS` (a number, AUTO, NUMA), `INFERENCE_NUM_THREADS`,
`TARGET_DEVICE` (CPU, GPU, NPU, AUTO, HETERO:…, MULTI:…), `HINT_BF16` (YES). Without `HINT_BF16` inference is FP32 even
where OpenVINO would choose BF16; with it, BF16 only on a device that computes in BF16 itself. A device without FP32
computes in FP16. The launcher's `SOD_DEVICE` ("intel_gpu:0,1") names the indices of a GPU: OpenVINO compiles the model
for each, and shares the images among them.
`WHOLE_MACHINE_WHEN_ALONE` (YES) exists only here: a second network is compiled, which uses all cores for one image. It
takes an image that arrives while no other is being computed.
"""

import os
import sys
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sod.triton.requests import Arrays, ModelConfig, Request, RequestPool

# On import OpenVINO sends telemetry to Intel, unless this module cannot be imported.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
import openvino as ov  # noqa: E402
from openvino import properties  # noqa: E402

_ATTEMPTS = 3
_STREAMS = {"AUTO": properties.streams.Num.AUTO, "NUMA": properties.streams.Num.NUMA}

Outputs = list[NDArray[Any]]


class TritonPythonModel:
    """The network compiled for one image. Each image of each request is computed by the next free stream.

    On a CPU a batch is no faster than its images one by one.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Compile the model once for throughput and, with `WHOLE_MACHINE_WHEN_ALONE`, once for latency.

        Raises:
            RuntimeError: OpenVINO finds no such device on this machine, or the streams give different results for one
                image, three times in a row.
        """
        config = ModelConfig(args)
        core = ov.Core()
        model = core.read_model(f"{config.version_dir}/{config.model_filename or 'model.xml'}")
        # The names of config.pbtxt: a tensor in OpenVINO can have several.
        self._input = config.input_names()[0]
        outputs = config.output_names()
        dims = config.input_dims(self._input)
        model.reshape({self._input: [1, *dims]})
        device = target_device(config.parameter("TARGET_DEVICE", "CPU"))
        chosen = _properties(config, capabilities(core, device))
        alone = None
        if config.parameter("WHOLE_MACHINE_WHEN_ALONE", "").upper() == "YES":
            alone = Network(core.compile_model(model, device, _for_one_image(chosen)), outputs)
        for _ in range(_ATTEMPTS):
            streams = Network(core.compile_model(model, device, chosen), outputs)
            if agree(streams, alone, dims):
                break
        else:
            raise RuntimeError(
                f"{config.name}: OpenVINO's streams give different results for one image: set NUM_STREAMS to 1"
            )
        self._scheduler = Scheduler(streams, alone)
        self._outputs = outputs
        # Twice as many requests as streams: the tensors of one are copied while another is computed.
        self._pool = RequestPool(self._answer, [self._input], 2 * streams.size)

    def execute(self, requests: list[Request]) -> None:
        """Queue the requests; each is answered when it is done."""
        self._pool.submit(requests)

    def finalize(self) -> None:
        """Finish the requests that were queued."""
        self._pool.close()
        self._scheduler.close()

    def _answer(self, inputs: Arrays) -> Arrays:
        results = self._scheduler.infer(inputs[self._input])
        if len(results) == 1:
            return dict(zip(self._outputs, results[0], strict=True))
        return {name: np.concatenate([result[i] for result in results]) for i, name in enumerate(self._outputs)}


class Network:
    """A compiled network with one infer request for each stream.

    Attributes:
        size: number of streams.
    """

    def __init__(self, compiled: Any, outputs: list[str]) -> None:
        self.size = int(compiled.get_property(properties.optimal_number_of_infer_requests()))
        self._outputs = outputs
        self._idle = [compiled.create_infer_request() for _ in range(self.size)]

    def infer(self, image: NDArray[Any]) -> Outputs:
        """Outputs of one image [H, W, 3], each [1, …]; at most `size` at a time."""
        infer_request = self._idle.pop()
        try:
            infer_request.infer([image[None]])
            return [infer_request.get_tensor(name).data.copy() for name in self._outputs]
        finally:
            self._idle.append(infer_request)


class Scheduler:
    """Chooses the network for each image: a stream, or the whole machine for an image that is the only one."""

    def __init__(self, streams: Network, alone: Network | None) -> None:
        self._streams = streams
        self._alone = alone
        self._threads = ThreadPoolExecutor(streams.size)
        self._lock = Lock()
        self._in_work = 0
        self._alone_is_free = True

    def infer(self, images: NDArray[Any]) -> list[Outputs]:
        """Outputs of images [N, H, W, 3], in order."""
        with self._lock:
            self._in_work += len(images)
        return list(self._threads.map(self._infer, images))

    def close(self) -> None:
        """Finish the requests that were queued."""
        self._threads.shutdown(wait=True)

    def _infer(self, image: NDArray[Any]) -> Outputs:
        with self._lock:
            alone = self._alone if self._in_work == 1 and self._alone_is_free else None
            self._alone_is_free = self._alone_is_free and alone is None
        try:
            return (alone or self._streams).infer(image)
        finally:
            with self._lock:
                self._in_work -= 1
                self._alone_is_free = self._alone_is_free or alone is not None


def agree(streams: Network, alone: Network | None, dims: list[int]) -> bool:
    """Whether every stream, and the network for an image alone, give the same outputs for one random image.

    OpenVINO 2026.4 was seen to compile one of several streams wrongly in about one start of ten; that stream then gave
    wrong boxes until the next start (docs/architecture.md).
    """
    image = np.random.default_rng(0).integers(0, 256, dims, np.uint8)
    # One call first: threads that make the first calls into OpenVINO's binding at the same time can deadlock.
    expected = (alone or streams).infer(image)
    together = Barrier(streams.size)  # each thread, and so each stream, computes one

    def infer(_: int) -> Outputs:
        together.wait()
        return streams.infer(image)

    with ThreadPoolExecutor(streams.size) as threads:
        answers = list(threads.map(infer, range(streams.size)))
    return all(
        np.allclose(a, b, rtol=1e-2, atol=1e-2) for answer in answers for a, b in zip(expected, answer, strict=True)
    )


def target_device(configured: str) -> str:
    """OpenVINO's name of the device: that of config.pbtxt, with the indices that the launcher was given."""
    kind, _, listed = os.environ.get("SOD_DEVICE", "").partition(":")
    if configured != "GPU" or kind != "intel_gpu" or not listed:
        return configured
    names = [f"{configured}.{index}" for index in listed.split(",")]
    return names[0] if len(names) == 1 else f"MULTI:{','.join(names)}"


def capabilities(core: Any, device: str) -> set[str]:
    """What a device computes in; for AUTO:, HETERO: and MULTI: what all of the listed ones compute in.

    Raises:
        RuntimeError: OpenVINO finds no such device on this machine.
    """
    virtual, colon, listed = device.partition(":")
    names = [name.partition("(")[0].strip() for name in listed.split(",")] if colon else [virtual]
    there: list[str] = core.available_devices
    for name in names:
        if name.upper() in ("GPU", "NPU") or name.startswith(("GPU.", "NPU.")):
            alone_is_zero = name.endswith(".0") and name[:-2] in there
            if not alone_is_zero and not any(found == name or found.startswith(f"{name}.") for found in there):
                raise RuntimeError(
                    f"OpenVINO finds no device {name} on this machine, only {', '.join(there)}: install Intel's driver "
                    "(intel-opencl-icd for a GPU, intel-level-zero-npu for an NPU), or serve with DEVICE=cpu"
                )
    return set.intersection(*(set(core.get_property(name, properties.device.capabilities())) for name in names))


def _for_one_image(chosen: dict[Any, Any]) -> dict[Any, Any]:
    """The properties for latency: one stream that uses all cores."""
    kept = {key: value for key, value in chosen.items() if key != properties.streams.num()}
    return {**kept, properties.hint.performance_mode(): properties.hint.PerformanceMode.LATENCY}


def _properties(config: ModelConfig, abilities: Collection[str]) -> dict[Any, Any]:
    """OpenVINO's properties for the parameters of config.pbtxt, on a device with these capabilities."""
    # Intel's NPU computes in FP16 and INT8 only.
    full = ov.Type.f16 if "FP16" in abilities and "FP32" not in abilities else ov.Type.f32
    # On AVX-512 without BF16 OpenVINO emulates it, which takes 14 times as long as FP32.
    bf16 = config.parameter("HINT_BF16", "").upper() == "YES" and "BF16" in abilities
    chosen: dict[Any, Any] = {properties.hint.inference_precision(): ov.Type.bf16 if bf16 else full}
    if hint := config.parameter("PERFORMANCE_HINT", "").upper():
        chosen[properties.hint.performance_mode()] = properties.hint.PerformanceMode.__members__[hint]
    if threads := config.parameter("INFERENCE_NUM_THREADS", ""):
        chosen[properties.inference_num_threads()] = int(threads)
    if streams := config.parameter("NUM_STREAMS", "").upper():
        if streams not in _STREAMS and not streams.isdecimal():
            raise ValueError(f"{config.name}: NUM_STREAMS is {streams}: it takes a number, AUTO or NUMA")
        chosen[properties.streams.num()] = _STREAMS[streams] if streams in _STREAMS else int(streams)
    return chosen
