"""OpenVINO backend: takes the config.pbtxt of Triton's C++ `openvino` backend.

Parameters: `PERFORMANCE_HINT` (LATENCY, THROUGHPUT), `NUM_STREAMS` (a number, AUTO, NUMA), `INFERENCE_NUM_THREADS`,
`TARGET_DEVICE`, `HINT_BF16` (YES). Without the last, inference is FP32 even where OpenVINO would choose BF16; with it,
BF16 only on a device that computes in BF16 itself.
One is this backend's own: `WHOLE_MACHINE_WHEN_ALONE` (YES) has a second network compiled, which gives an image that
comes while no other is there all the cores.
"""

import sys
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sod.triton.requests import Arrays, ModelConfig, Request, RequestPool

# Importing OpenVINO reports to its makers over the network; it does without where this cannot be imported.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
import openvino as ov  # noqa: E402
from openvino import properties  # noqa: E402

_ATTEMPTS = 3
_STREAMS = {"AUTO": properties.streams.Num.AUTO, "NUMA": properties.streams.Num.NUMA}

Outputs = list[NDArray[Any]]


class TritonPythonModel:
    """The network compiled for one image; images of all requests flow over its streams.

    On a CPU a batch is no faster than its images apart, and a stream that is free takes the next image at once.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Compile the model, once for many images and, if asked, once for an image alone."""
        config = ModelConfig(args)
        core = ov.Core()
        model = core.read_model(f"{config.version_dir}/{config.model_filename or 'model.xml'}")
        # By the names of config.pbtxt: a tensor of OpenVINO's can have several.
        self._input = config.input_names()[0]
        outputs = config.output_names()
        dims = config.input_dims(self._input)
        model.reshape({self._input: [1, *dims]})
        device = config.parameter("TARGET_DEVICE", "CPU")
        chosen = _properties(config, core.get_property(device, properties.device.capabilities()))
        alone = None
        if config.parameter("WHOLE_MACHINE_WHEN_ALONE", "").upper() == "YES":
            alone = Network(core.compile_model(model, device, _for_one_image(chosen)), outputs)
        for _ in range(_ATTEMPTS):
            streams = Network(core.compile_model(model, device, chosen), outputs)
            if agree(streams, alone, dims):
                break
        else:
            raise RuntimeError(f"{config.name}: OpenVINO's streams answer differently: set NUM_STREAMS to 1")
        self._lanes = Lanes(streams, alone)
        self._outputs = outputs
        # Twice as many requests as streams: one is copied in and out while another computes.
        self._pool = RequestPool(self._answer, [self._input], 2 * streams.size)

    def execute(self, requests: list[Request]) -> None:
        """Take the requests on."""
        self._pool.submit(requests)

    def finalize(self) -> None:
        """Finish what was taken on."""
        self._pool.close()
        self._lanes.close()

    def _answer(self, inputs: Arrays) -> Arrays:
        results = self._lanes.infer(inputs[self._input])
        if len(results) == 1:
            return dict(zip(self._outputs, results[0], strict=True))
        return {name: np.concatenate([result[i] for result in results]) for i, name in enumerate(self._outputs)}


class Network:
    """A compiled network with one infer request a stream.

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


class Lanes:
    """Where an image is computed: by one of the streams, or, if it is the only one, by all cores."""

    def __init__(self, streams: Network, alone: Network | None) -> None:
        self._streams = streams
        self._alone = alone
        self._threads = ThreadPoolExecutor(streams.size)
        self._lock = Lock()
        self._taken_on = 0
        self._alone_is_free = True

    def infer(self, images: NDArray[Any]) -> list[Outputs]:
        """Outputs of images [N, H, W, 3], in order."""
        with self._lock:
            self._taken_on += len(images)
        return list(self._threads.map(self._infer, images))

    def close(self) -> None:
        """Finish what was taken on."""
        self._threads.shutdown(wait=True)

    def _infer(self, image: NDArray[Any]) -> Outputs:
        with self._lock:
            alone = self._alone if self._taken_on == 1 and self._alone_is_free else None
            self._alone_is_free = self._alone_is_free and alone is None
        try:
            return (alone or self._streams).infer(image)
        finally:
            with self._lock:
                self._taken_on -= 1
                self._alone_is_free = self._alone_is_free or alone is not None


def agree(streams: Network, alone: Network | None, dims: list[int]) -> bool:
    """Whether every stream, and the network for an image alone, says the same of one image.

    With several streams OpenVINO 2026.4 was seen to compile one of them wrong, one start in some ten, for good
    (docs/architecture.md).
    """
    image = np.random.default_rng(0).integers(0, 256, dims, np.uint8)
    # One first: threads that call OpenVINO's binding at once for the first time can wait for each other for ever.
    expected = (alone or streams).infer(image)
    together = Barrier(streams.size)  # so that each thread, and with it each stream, takes one

    def infer(_: int) -> Outputs:
        together.wait()
        return streams.infer(image)

    with ThreadPoolExecutor(streams.size) as threads:
        answers = list(threads.map(infer, range(streams.size)))
    return all(
        np.allclose(a, b, rtol=1e-2, atol=1e-2) for answer in answers for a, b in zip(expected, answer, strict=True)
    )


def _for_one_image(chosen: dict[Any, Any]) -> dict[Any, Any]:
    """The properties, with all cores for one image."""
    kept = {key: value for key, value in chosen.items() if key != properties.streams.num()}
    return {**kept, properties.hint.performance_mode(): properties.hint.PerformanceMode.LATENCY}


def _properties(config: ModelConfig, capabilities: Collection[str]) -> dict[Any, Any]:
    """OpenVINO's names for what config.pbtxt asks, of a device that has these capabilities."""
    # Where AVX-512 has no BF16, OpenVINO would emulate it, and take 14 times as long as FP32.
    bf16 = config.parameter("HINT_BF16", "").upper() == "YES" and "BF16" in capabilities
    chosen: dict[Any, Any] = {properties.hint.inference_precision(): ov.Type.bf16 if bf16 else ov.Type.f32}
    if hint := config.parameter("PERFORMANCE_HINT", "").upper():
        chosen[properties.hint.performance_mode()] = properties.hint.PerformanceMode.__members__[hint]
    if threads := config.parameter("INFERENCE_NUM_THREADS", ""):
        chosen[properties.inference_num_threads()] = int(threads)
    if streams := config.parameter("NUM_STREAMS", "").upper():
        if streams not in _STREAMS and not streams.isdecimal():
            raise ValueError(f"{config.name}: NUM_STREAMS is {streams}: it wants a number, AUTO or NUMA")
        chosen[properties.streams.num()] = _STREAMS[streams] if streams in _STREAMS else int(streams)
    return chosen
