"""Paddle Inference backend: an exported PP-YOLOE+ SOD up to its NMS, FP32 with oneDNN on the CPU.

The model's inputs are `image` f32 [N, 3, H, W] and `scale_factor` f32 [N, 2], its outputs boxes and scores (`export/`
writes it). Parameter: `cpu_threads`, default all cores.
"""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.backends.batching import run_batch
from sod.triton.requests import ModelConfig, Request

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Paddle warns of a missing compiler cache
    from paddle import inference


_IMAGES_PER_RUN = 2  # more are slower and take more memory (docs/performance.md)


class TritonPythonModel:
    """One Paddle predictor. The images of a Triton batch run two at a time."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model."""
        config = ModelConfig(args)
        graph = Path(config.version_dir) / (config.model_filename or "inference.json")
        options = inference.Config(str(graph), str(graph.with_suffix(".pdiparams")))
        options.disable_gpu()
        options.disable_glog_info()
        options.enable_new_ir(True)
        options.enable_new_executor(True)
        options.enable_mkldnn()
        options.set_cpu_math_library_num_threads(int(config.parameter("cpu_threads", str(os.cpu_count()))))
        options.enable_memory_optim()
        self._predictor = inference.create_predictor(options)
        self._input = config.input_names()[0]
        self._outputs = config.output_names()
        self._image = self._predictor.get_input_handle("image")
        self._scale_factor = self._predictor.get_input_handle("scale_factor")
        self._fetches = [self._predictor.get_output_handle(name) for name in self._predictor.get_output_names()]

    def execute(self, requests: list[Request]) -> list[Any]:
        """Run a batch of requests; returns their responses in order."""
        return run_batch(requests, self._input, self._run)

    def _run(self, pixels: NDArray[Any]) -> dict[str, NDArray[Any]]:
        parts = [
            self._run_few(pixels[first : first + _IMAGES_PER_RUN]) for first in range(0, len(pixels), _IMAGES_PER_RUN)
        ]
        return parts[0] if len(parts) == 1 else {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}

    def _run_few(self, pixels: NDArray[Any]) -> dict[str, NDArray[Any]]:
        self._image.copy_from_cpu(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32))
        self._scale_factor.copy_from_cpu(np.ones((len(pixels), 2), np.float32))
        self._predictor.run()
        return dict(zip(self._outputs, (fetch.copy_to_cpu() for fetch in self._fetches), strict=True))
