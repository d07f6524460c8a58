"""The detector in each inference engine, configured as the profile's config.pbtxt says."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.performance.baselines.detector_config import DetectorConfig
from export.openvino.runtime import import_openvino
from export.paddle.runtime import import_paddle

Pixels = NDArray[np.uint8]
Outputs = list[NDArray[Any]]
_MIN_RUNS = 3  # a slow network is run for longer than `seconds` to have so many


class Engine(Protocol):
    """A loaded network with an image for it."""

    def infer(self) -> Outputs:
        """Infer the image once; each output is [1, …]."""

    def run(self, seconds: float) -> tuple[int, float]:
        """Infer as fast as possible; the number of images, and the seconds that they took."""


def load(config: DetectorConfig, pixels: Pixels, setting: str) -> Engine:
    """Load the detector.

    Args:
        config: the detector and its configuration.
        pixels: uint8 RGB [H, W, 3].
        setting: "configured" uses the profile's parameters; "latency" uses all cores for one image; "throughput" lets
            the engine choose the number of simultaneous images. ONNX Runtime and Paddle have no such choice.
    """
    if config.backend == "openvino":
        return OpenVinoEngine(config, pixels, setting)
    if config.backend == "onnxruntime":
        return _OneByOne(_onnxruntime(config, pixels))
    return _OneByOne(_paddle(config, pixels))


class OpenVinoEngine:
    """The detector in OpenVINO."""

    def __init__(self, config: DetectorConfig, pixels: Pixels, setting: str) -> None:
        ov = import_openvino()
        p = ov.properties
        core = ov.Core()
        model = core.read_model(config.file)
        name = next(iter(model.inputs[0].names))
        model.reshape({name: [1, *pixels.shape]})
        device = config.parameters.get("TARGET_DEVICE", "CPU")
        # The server's backend does the same: it uses BF16 only where the device has instructions for it.
        bf16 = config.bf16 and "BF16" in core.get_property(device, p.device.capabilities())
        chosen: dict[Any, Any] = {p.hint.inference_precision(): ov.Type.bf16 if bf16 else ov.Type.f32}
        words = config.parameters if setting == "configured" else {"PERFORMANCE_HINT": setting}
        if hint := words.get("PERFORMANCE_HINT", "").upper():
            chosen[p.hint.performance_mode()] = p.hint.PerformanceMode.__members__[hint]
        if threads := words.get("INFERENCE_NUM_THREADS", ""):
            chosen[p.inference_num_threads()] = int(threads)
        if streams := words.get("NUM_STREAMS", "").upper():
            chosen[p.streams.num()] = {"AUTO": p.streams.Num.AUTO, "NUMA": p.streams.Num.NUMA}.get(streams) or int(
                streams
            )
        compiled = core.compile_model(model, device, chosen)
        self.streams = int(compiled.get_property(p.optimal_number_of_infer_requests()))
        self._queue = ov.AsyncInferQueue(compiled, self.streams)
        self._request = compiled.create_infer_request()
        self._pixels = pixels[None]
        self._outputs = config.outputs

    def infer(self, pixels: Pixels | None = None) -> Outputs:
        """Infer the image, or another one of the same size, once; each output is [1, …]."""
        self._request.infer([self._pixels if pixels is None else pixels[None]])
        return [self._request.get_tensor(name).data.copy() for name in self._outputs]

    def run(self, seconds: float) -> tuple[int, float]:
        """See `Engine.run`."""
        ends: list[float] = []
        self._queue.set_callback(lambda _request, _data: ends.append(time.perf_counter()))
        started = time.perf_counter()
        sent = 0
        while sent < _MIN_RUNS * self.streams or time.perf_counter() - started < seconds:
            self._queue.start_async([self._pixels])  # blocks until one of the requests is free
            sent += 1
        last_begin = time.perf_counter()
        self._queue.wait_all()
        # Count only while all streams are busy, and from the first burst of as many results as there are streams.
        steady = [end for end in sorted(ends) if end <= last_begin]
        if len(steady) <= self.streams:
            return sent, time.perf_counter() - started
        return len(steady) - self.streams, steady[-1] - steady[self.streams - 1]


class _OneByOne:
    """An engine that infers one image at a time, on all cores."""

    def __init__(self, infer: Callable[[], Outputs]) -> None:
        self.infer = infer

    def run(self, seconds: float) -> tuple[int, float]:
        started, count = time.perf_counter(), 0
        while count < _MIN_RUNS or time.perf_counter() - started < seconds:
            self.infer()
            count += 1
        return count, time.perf_counter() - started


def _onnxruntime(config: DetectorConfig, pixels: Pixels) -> Callable[[], Outputs]:
    import onnxruntime as ort  # noqa: PLC0415

    options = ort.SessionOptions()
    options.intra_op_num_threads = int(config.parameters.get("intra_op_thread_count", "0"))
    session = ort.InferenceSession(config.file, options, providers=["CPUExecutionProvider"])
    feeds = {session.get_inputs()[0].name: pixels[None]}

    def infer() -> Outputs:
        return list(session.run(list(config.outputs), feeds))

    return infer


def _paddle(config: DetectorConfig, pixels: Pixels) -> Callable[[], Outputs]:
    inference = import_paddle().inference
    options = inference.Config(str(config.file), str(Path(config.file).with_suffix(".pdiparams")))
    options.disable_gpu()
    options.disable_glog_info()
    options.enable_new_ir(True)
    options.enable_new_executor(True)
    options.enable_mkldnn()
    options.set_cpu_math_library_num_threads(int(config.parameters.get("cpu_threads", str(os.cpu_count()))))
    options.enable_memory_optim()
    predictor = inference.create_predictor(options)
    image = np.ascontiguousarray(pixels[None].transpose(0, 3, 1, 2), np.float32)
    ones = np.ones((1, 2), np.float32)

    def infer() -> Outputs:
        predictor.get_input_handle("image").copy_from_cpu(image)
        predictor.get_input_handle("scale_factor").copy_from_cpu(ones)
        predictor.run()
        return [predictor.get_output_handle(name).copy_to_cpu() for name in predictor.get_output_names()]

    return infer
