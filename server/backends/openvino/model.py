"""OpenVINO backend: takes the config.pbtxt of Triton's C++ `openvino` backend.

Parameters: `PERFORMANCE_HINT` (LATENCY, THROUGHPUT), `NUM_STREAMS` (a number, AUTO, NUMA), `INFERENCE_NUM_THREADS`,
`TARGET_DEVICE`, `HINT_BF16` (YES). Without the last, inference is FP32 even where OpenVINO would choose BF16.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
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


class TritonPythonModel:
    """The network compiled for one picture; pictures of all requests flow over its streams.

    On a CPU a batch is no faster than its pictures apart, and a stream that is free takes the next picture at once.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Compile the model, and make one infer request a stream."""
        config = ModelConfig(args)
        core = ov.Core()
        model = core.read_model(f"{config.version_dir}/{config.model_filename or 'model.xml'}")
        # By the names of config.pbtxt: a tensor of OpenVINO's can have several.
        self._input = config.input_names()[0]
        self._outputs = config.output_names()
        model.reshape({self._input: [1, *config.input_dims(self._input)]})
        for _ in range(_ATTEMPTS):
            compiled = core.compile_model(model, config.parameter("TARGET_DEVICE", "CPU"), _properties(config))
            streams = compiled.get_property(properties.optimal_number_of_infer_requests())
            self._idle = [compiled.create_infer_request() for _ in range(streams)]
            self._streams = ThreadPoolExecutor(streams)
            if self._streams_agree(streams, config.input_dims(self._input)):
                break
            self._streams.shutdown(wait=True)
        else:
            raise RuntimeError(f"{config.name}: OpenVINO's streams answer differently: set NUM_STREAMS to 1")
        # Twice as many requests as streams: one is copied in and out while another computes.
        self._pool = RequestPool(self._answer, [self._input], 2 * streams)

    def execute(self, requests: list[Request]) -> None:
        """Take the requests on."""
        self._pool.submit(requests)

    def finalize(self) -> None:
        """Finish what was taken on."""
        self._pool.close()
        self._streams.shutdown(wait=True)

    def _streams_agree(self, streams: int, dims: list[int]) -> bool:
        """Whether every stream says the same of one picture.

        With several streams OpenVINO 2026.4 was seen to compile one of them wrong, one start in some ten, for good
        (docs/architecture.md).
        """
        if streams == 1:
            return True
        picture = np.random.default_rng(0).integers(0, 256, dims, np.uint8)
        together = Barrier(streams)  # so that each thread, and with it each stream, takes one

        def infer(_: int) -> list[NDArray[Any]]:
            together.wait()
            return self._infer(picture)

        first, *others = self._streams.map(infer, range(streams))
        return all(
            np.allclose(a, b, rtol=1e-2, atol=1e-2) for other in others for a, b in zip(first, other, strict=True)
        )

    def _answer(self, inputs: Arrays) -> Arrays:
        pictures = inputs[self._input]
        results = list(self._streams.map(self._infer, pictures))
        return {name: np.concatenate([result[i] for result in results]) for i, name in enumerate(self._outputs)}

    def _infer(self, picture: NDArray[Any]) -> list[NDArray[Any]]:
        """Outputs of one picture, each [1, …]."""
        infer_request = self._idle.pop()
        try:
            infer_request.infer([picture[None]])
            return [infer_request.get_tensor(name).data.copy() for name in self._outputs]
        finally:
            self._idle.append(infer_request)


def _properties(config: ModelConfig) -> dict[Any, Any]:
    """OpenVINO's names for what config.pbtxt asks."""
    bf16 = config.parameter("HINT_BF16", "").upper() == "YES"
    chosen: dict[Any, Any] = {properties.hint.inference_precision(): ov.Type.bf16 if bf16 else ov.Type.f32}
    if hint := config.parameter("PERFORMANCE_HINT", "").upper():
        chosen[properties.hint.performance_mode()] = properties.hint.PerformanceMode.__members__[hint]
    if threads := config.parameter("INFERENCE_NUM_THREADS", ""):
        chosen[properties.inference_num_threads()] = int(threads)
    if streams := config.parameter("NUM_STREAMS", "").upper():
        chosen[properties.streams.num()] = _STREAMS.get(streams) or int(streams)
    return chosen
