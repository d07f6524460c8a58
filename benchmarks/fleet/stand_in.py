"""A stand-in for a detector: a model that sleeps and finds nothing, so that many Tritons fit on few cores."""

from pathlib import Path

NAME = "stand-in"
_STAGE = "stand-in_stage"
_TENSORS = """
max_batch_size: 1
input [
  { name: "image" data_type: TYPE_STRING dims: [ 1 ] },
  { name: "score_threshold" data_type: TYPE_FP32 dims: [ 1 ] }
]
output [
  { name: "boxes" data_type: TYPE_FP32 dims: [ -1, 4 ] },
  { name: "scores" data_type: TYPE_FP32 dims: [ -1 ] },
  { name: "class_ids" data_type: TYPE_INT32 dims: [ -1 ] },
  { name: "num_detections" data_type: TYPE_INT32 dims: [ 1 ] },
  { name: "error" data_type: TYPE_STRING dims: [ 1 ] }
]
"""
_INPUTS = ("image", "score_threshold")
_OUTPUTS = ("boxes", "scores", "class_ids", "num_detections", "error")
_CODE = """import json
import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        parameters = json.loads(args["model_config"])["parameters"]
        self._seconds = float(parameters["seconds"]["string_value"])

    def execute(self, requests):
        return [self._one() for _ in requests]

    def _one(self):
        time.sleep(self._seconds)
        values = {
            "boxes": np.zeros((1, 1, 4), np.float32),
            "scores": np.zeros((1, 1), np.float32),
            "class_ids": np.zeros((1, 1), np.int32),
            "num_detections": np.zeros((1, 1), np.int32),
            "error": np.array([[b""]], np.object_),
        }
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name, value in values.items()])
"""


def write_repository(folder: Path, seconds: float) -> Path:
    """Write a model repository with the ensemble `NAME` and its only stage.

    One image is processed after the other, so that a Triton gives 1 / `seconds` images a second.

    Args:
        folder: is made.
        seconds: that an image takes.

    Returns:
        The folder.
    """
    maps = [f'input_map {{ key: "{name}" value: "{name}" }}' for name in _INPUTS]
    maps += [f'output_map {{ key: "{name}" value: "{name}" }}' for name in _OUTPUTS]
    step = "\n".join([f'ensemble_scheduling {{ step [ {{ model_name: "{_STAGE}" model_version: -1', *maps, "} ] }"])
    labels = 'parameters { key: "labels" value: { string_value: \'["nothing"]\' } }'
    stage = f'parameters {{ key: "seconds" value: {{ string_value: "{seconds:g}" }} }}'
    instances = "instance_group [ { count: 1 kind: KIND_CPU } ]"
    _write(folder / NAME, f'name: "{NAME}"\nplatform: "ensemble"{_TENSORS}{step}\n{labels}\n')
    _write(folder / _STAGE, f'name: "{_STAGE}"\nbackend: "python"{_TENSORS}{instances}\n{stage}\n')
    (folder / _STAGE / "1" / "model.py").write_text(_CODE, encoding="utf-8")
    return folder


def _write(folder: Path, config: str) -> None:
    (folder / "1").mkdir(parents=True, exist_ok=True)
    (folder / "config.pbtxt").write_text(config, encoding="utf-8")
