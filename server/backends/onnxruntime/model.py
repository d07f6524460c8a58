"""ONNX Runtime backend: reads the config.pbtxt of Triton's C++ `onnxruntime` backend.

Parameters: `intra_op_thread_count`, `inter_op_thread_count`, `execution_mode`; `optimization { graph { level } }`
(-1 basic, 1 extended, 2 none, else all). `KIND_GPU` runs on CUDA.
"""

from typing import Any

import onnxruntime as ort
from numpy.typing import NDArray

from server.backends.batching import run_batch
from sod.triton.requests import ModelConfig, Request

_LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}


class TritonPythonModel:
    """One ONNX Runtime session. The requests of a Triton batch run as one batch."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model.

        Raises:
            RuntimeError: the instance is KIND_GPU and this ONNX Runtime has no CUDA.
        """
        config = ModelConfig(args)
        options = ort.SessionOptions()
        options.intra_op_num_threads = int(config.parameter("intra_op_thread_count", "0"))
        options.inter_op_num_threads = int(config.parameter("inter_op_thread_count", "0"))
        options.execution_mode = ort.ExecutionMode(int(config.parameter("execution_mode", "0")))
        options.graph_optimization_level = _LEVELS.get(
            config.optimization_level(), ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        )
        path = f"{config.version_dir}/{config.model_filename or 'model.onnx'}"
        self._session = ort.InferenceSession(path, options, providers=_providers(config))
        self._input = config.input_names()[0]
        self._outputs = config.output_names()

    def execute(self, requests: list[Request]) -> list[Any]:
        """Run a batch of requests; returns their responses in order."""
        return run_batch(requests, self._input, self._run)

    def _run(self, batch: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return dict(zip(self._outputs, self._session.run(self._outputs, {self._input: batch}), strict=True))


def _providers(config: ModelConfig) -> list[Any]:
    if config.instance_kind != "GPU":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        raise RuntimeError(
            f"{config.name} asks for a GPU, and this onnxruntime has no CUDA: "
            "pip install onnxruntime-gpu, or serve with PROFILE=cpu_high_performance"
        )
    return [("CUDAExecutionProvider", {"device_id": config.device_id}), "CPUExecutionProvider"]
