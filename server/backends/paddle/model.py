"""Paddle Inference backend: an exported PP-YOLOE+ SOD up to its NMS, FP32, with oneDNN on the CPU.

The model's inputs are `image` f32 [N, 3, H, W] and `scale_factor` f32 [N, 2], its outputs boxes and scores (`export/`
writes it). Parameters: `cpu_threads`, default all cores; `DEVICE`: `npu` and `mlu` by Paddle's custom devices, `xpu`
by its Kunlun build, `dcu` by its ROCm build. The launcher's `SOD_DEVICE` ("npu:0,1") names the indices: each has a
predictor, and they share the images of a batch.
"""

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.backends.batching import run_batch
from sod.triton.requests import ModelConfig, Request

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Paddle warns of a missing compiler cache
    import paddle
    from paddle import inference

_IMAGES_PER_RUN = 2  # more are slower and take more memory (docs/performance.md)
_GPU_MEMORY_MIB = 512  # at the start; Paddle takes more when it needs more


class TritonPythonModel:
    """One Paddle predictor for each device. The images of a Triton batch run two at a time."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model.

        Raises:
            RuntimeError: this build of Paddle lacks the device.
        """
        config = ModelConfig(args)
        graph = Path(config.version_dir) / (config.model_filename or "inference.json")
        device = config.parameter("DEVICE", "cpu")
        if problem := build_problem(device):
            raise RuntimeError(f"{config.name}: {problem}")
        self._input = config.input_names()[0]
        outputs = config.output_names()
        threads = int(config.parameter("cpu_threads", str(os.cpu_count())))
        self._predictors = [
            Predictor(predictor_config(graph, device, index, threads), outputs) for index in chosen_indices(device)
        ]
        self._threads = ThreadPoolExecutor(len(self._predictors))

    def execute(self, requests: list[Request]) -> list[Any]:
        """Run a batch of requests; returns their responses in order."""
        return run_batch(requests, self._input, self._run)

    def finalize(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=True)

    def _run(self, pixels: NDArray[Any]) -> dict[str, NDArray[Any]]:
        firsts = range(0, len(pixels), _IMAGES_PER_RUN)
        few = [pixels[first : first + _IMAGES_PER_RUN] for first in firsts]
        count = len(self._predictors)

        def run_share(number: int) -> list[dict[str, NDArray[Any]]]:
            return [self._predictors[number].run(images) for images in few[number::count]]

        # One predictor is used by one thread at a time. A single one runs in the caller's, as Triton's stub calls it.
        shares = [run_share(0)] if count == 1 else list(self._threads.map(run_share, range(count)))
        parts = [shares[i % count][i // count] for i in range(len(few))]
        return parts[0] if len(parts) == 1 else {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


class Predictor:
    """A Paddle predictor on one device."""

    def __init__(self, options: Any, outputs: list[str]) -> None:
        self._predictor = inference.create_predictor(options)
        self._outputs = outputs
        self._image = self._predictor.get_input_handle("image")
        self._scale_factor = self._predictor.get_input_handle("scale_factor")
        self._fetches = [self._predictor.get_output_handle(name) for name in self._predictor.get_output_names()]

    def run(self, pixels: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Outputs by name for uint8 pixels [N, H, W, 3]."""
        self._image.copy_from_cpu(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32))
        self._scale_factor.copy_from_cpu(np.ones((len(pixels), 2), np.float32))
        self._predictor.run()
        return dict(zip(self._outputs, (fetch.copy_to_cpu() for fetch in self._fetches), strict=True))


def build_problem(device: str) -> str:
    """What this build of Paddle lacks for a device, as a sentence; empty if it has the device."""
    if device == "xpu":
        has, wheel = paddle.is_compiled_with_xpu(), "paddlepaddle-xpu"
    elif device == "dcu":
        has, wheel = paddle.is_compiled_with_rocm(), "paddlepaddle-dcu"
    elif device in ("npu", "mlu"):
        has, wheel = device in paddle.device.get_all_custom_device_type(), f"paddle-custom-{device}"
    else:
        return "" if device == "cpu" else f"the parameter DEVICE is {device!r}: write cpu, npu, xpu, mlu or dcu"
    return "" if has else f"this build of Paddle has no {device}: install the wheel {wheel} from the device's maker"


def chosen_indices(device: str) -> tuple[int, ...]:
    """Indices in the launcher's `SOD_DEVICE`; the first device if it names none."""
    kind, _, listed = os.environ.get("SOD_DEVICE", "").partition(":")
    return tuple(map(int, listed.split(","))) if kind == device and listed else (0,)


def predictor_config(graph: Path, device: str, index: int, cpu_threads: int) -> Any:
    """Paddle's configuration of a predictor for a model on one device."""
    options = inference.Config(str(graph), str(graph.with_suffix(".pdiparams")))
    if device == "dcu":  # Paddle's ROCm build has the calls of its CUDA build
        options.enable_use_gpu(_GPU_MEMORY_MIB, index)
    else:
        options.disable_gpu()
    options.disable_glog_info()
    options.enable_new_ir(True)
    options.enable_new_executor(True)
    if device == "cpu":
        options.enable_mkldnn()
    elif device == "xpu":
        options.enable_xpu()
        options.set_xpu_device_id(index)
    elif device in ("npu", "mlu"):
        options.enable_custom_device(device, index)
    options.set_cpu_math_library_num_threads(cpu_threads)
    options.enable_memory_optim()
    return options
