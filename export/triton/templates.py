"""The Triton configuration of a model, as text: the one source of every config.pbtxt in `model_repository/`.

A model is an ensemble of three stages: `preprocess_<size>` (shared by models of one size), `<name>_detector` (with a
config a profile) and `postprocess` (shared by models with PP-YOLOE+ SOD's own NMS, else `postprocess_<name>`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sod.image import DEFAULT_MAX_PIXELS
from sod.nms import NmsConfig

if TYPE_CHECKING:
    from export.paddle.inference_model import CutModel

Threshold = float | Mapping[int, float]

# Triton lets an ensemble take no more at once than its stages, and the shared ones are the same for all models.
MAX_BATCH_SIZE = 8
# Four of the largest official model's images; a batch of more pixels costs memory and gains no speed.
_BATCH_PIXELS = 4 * 1920 * 1920
# OpenVINO computes larger images one at a time: the activations of one of 1920 x 1920 are gigabytes.
_STREAM_PIXELS = 1280 * 1280


@dataclass(frozen=True, slots=True)
class ServingOptions:
    """What a user may choose of a model's configuration.

    Attributes:
        max_batch_size: images a forward; None chooses by the input's size.
        default_threshold: for requests that name none: a number, or numbers by class id; None leaves it to the gateway.
        overwrite: write the configuration of a model of this name anew, as other classes or another size need.
    """

    max_batch_size: int | None = None
    default_threshold: Threshold | None = None
    overwrite: bool = False


DEFAULT_OPTIONS = ServingOptions()


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """All that the configuration of a model depends on.

    Attributes:
        name: of the ensemble.
        labels: class names by class id, in any script.
        height: of the detector's input, in pixels.
        width: of the detector's input, in pixels.
        anchors: boxes before NMS.
        nms: parameters of the NMS.
        paddle: whether the Paddle model lies beside the ONNX, for the profile `cpu_regular`.
        options: what was chosen.
    """

    name: str
    labels: tuple[str, ...]
    height: int
    width: int
    anchors: int
    nms: NmsConfig = field(default_factory=NmsConfig)
    paddle: bool = True
    options: ServingOptions = DEFAULT_OPTIONS

    @classmethod
    def of(cls, cut: "CutModel", options: ServingOptions, *, paddle: bool) -> "ModelSpec":
        """The specification of a model that is being exported."""
        config = cut.source.config
        return cls(
            name=config.model_name,
            labels=config.labels,
            height=config.height,
            width=config.width,
            anchors=cut.anchors,
            nms=cut.nms,
            paddle=paddle,
            options=options,
        )

    @property
    def preprocess(self) -> str:
        """Folder of the first stage."""
        square = self.height == self.width
        return f"preprocess_{self.height}" if square else f"preprocess_{self.width}x{self.height}"

    @property
    def detector(self) -> str:
        """Folder of the second stage."""
        return f"{self.name}_detector"

    @property
    def postprocess(self) -> str:
        """Folder of the third stage."""
        return "postprocess" if self.nms == NmsConfig() else f"postprocess_{self.name}"

    @property
    def batch_size(self) -> int:
        """`max_batch_size` of the ensemble and the detector."""
        if self.options.max_batch_size is not None:
            return self.options.max_batch_size
        image = self.height * self.width
        return next((size for size in (8, 4, 2) if size * image <= _BATCH_PIXELS), 1)


@dataclass(frozen=True, slots=True)
class Profile:
    """How the detector runs: one `config.pbtxt` of it.

    Attributes:
        name: `tritonserver --model-config-name`; empty for the folder's own config.pbtxt.
        comment: the config's first line.
        backend: Triton's name of it.
        filename: the model in the version folder.
        gpu: which kind of instances.
        parameters: of the backend.
        note: a comment below them.
    """

    name: str
    comment: str
    backend: str
    filename: str
    gpu: bool = False
    parameters: tuple[tuple[str, str], ...] = ()
    note: str = ""

    @property
    def path(self) -> str:
        """The config's place in the detector's folder."""
        return f"configs/{self.name}.pbtxt" if self.name else "config.pbtxt"


_WITHOUT_PADDLE = Profile(
    name="cpu_regular",
    comment="CPU, regular: FP32 on ONNX Runtime, as this model came without its Paddle files (export --no-paddle).",
    backend="onnxruntime",
    filename="model.onnx",
)
PROFILES = (
    Profile(
        name="",
        comment="GPU, high-performance: a TensorRT FP16 plan, built where it is served.",
        backend="tensorrt",
        filename="model.plan",
        gpu=True,
    ),
    Profile(
        name="gpu_regular",
        comment="GPU, regular: FP32 on ONNX Runtime, CUDA.",
        backend="onnxruntime",
        filename="model.onnx",
        gpu=True,
    ),
    Profile(
        name="cpu_regular",
        comment="CPU, regular: FP32 on Paddle Inference with oneDNN, the Paddle model up to its NMS.",
        backend="paddle",
        filename="inference.json",
    ),
    Profile(
        name="cpu_high_performance",
        comment="CPU, high-performance: OpenVINO.",
        backend="openvino",
        filename="model.onnx",
        note="Inference is FP32: detections equal Paddle's. Profile cpu_bf16 is faster on some CPUs: sod bench tells.",
    ),
    Profile(
        name="cpu_bf16",
        comment="CPU with AMX or AVX512-BF16: OpenVINO in BF16, on the FP32 file.",
        backend="openvino",
        filename="model.onnx",
        parameters=(("HINT_BF16", "YES"),),
        note="Scores move (docs/export.md). On some CPUs twice as fast, on others slower: sod bench tells.",
    ),
    Profile(
        name="cpu_int8",
        comment="CPU: OpenVINO on the INT8 model that "
        "`make export TARGET=openvino PRECISION=int8 IMAGES=<folder>` makes.",
        backend="openvino",
        filename="model_int8.xml",
        parameters=(("HINT_BF16", "YES"),),
        note="What is not quantised computes in BF16 where the CPU has it, else in FP32.",
    ),
)


def ensemble_files(spec: ModelSpec) -> dict[str, str]:
    """Path in the ensemble's folder → content. Triton wants a version folder even where nothing lies in it."""
    facts = [
        ("labels", json.dumps(spec.labels, ensure_ascii=False)),
        ("input_size", json.dumps([spec.height, spec.width])),
    ]
    if spec.options.default_threshold is not None:
        facts.append(("default_threshold", json.dumps(_plain(spec.options.default_threshold))))
    text = _ENSEMBLE.format(
        name=quote(spec.name),
        batch=spec.batch_size,
        classes=len(spec.labels),
        preprocess=quote(spec.preprocess),
        detector=quote(spec.detector),
        postprocess=quote(spec.postprocess),
    )
    return {"config.pbtxt": text + _parameters(facts), "1/.gitkeep": ""}


def detector_files(spec: ModelSpec) -> dict[str, str]:
    """Path in the detector's folder → content: a config a profile."""
    profiles = (_WITHOUT_PADDLE if p.backend == "paddle" and not spec.paddle else p for p in PROFILES)
    return {p.path: _detector_config(spec, p) for p in profiles}


def preprocess_files(spec: ModelSpec) -> dict[str, str]:
    """Path in the first stage's folder → content."""
    text = _PREPROCESS.format(
        name=quote(spec.preprocess), batch=MAX_BATCH_SIZE, height=spec.height, width=spec.width
    ) + _parameters([("max_image_pixels", str(DEFAULT_MAX_PIXELS))])
    return {"config.pbtxt": text, "1/model.py": _stage("Decode and resize", "preprocess")}


def postprocess_files(spec: ModelSpec) -> dict[str, str]:
    """Path in the third stage's folder → content."""
    own = spec.postprocess != "postprocess"
    origin = "as the exported model has it" if own else "PaddleDetection configs/smalldet, PPYOLOEHead.nms"
    text = _POSTPROCESS.format(
        name=quote(spec.postprocess),
        batch=MAX_BATCH_SIZE,
        whose=f"{spec.name}'s" if own else "PP-YOLOE+ SOD's",
        origin=origin,
    ) + _parameters(
        [
            ("score_threshold", str(spec.nms.score_threshold)),
            ("nms_top_k", str(spec.nms.nms_top_k)),
            ("keep_top_k", str(spec.nms.keep_top_k)),
            ("iou_threshold", str(spec.nms.iou_threshold)),
        ]
    )
    return {"config.pbtxt": text, "1/model.py": _stage("Threshold and NMS", "postprocess")}


def quote(text: str) -> str:
    """A string of protobuf's text format, UTF-8 left readable: in double quotes, or in single ones if it has some."""
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\0", "\\000")
    if '"' in escaped:
        return "'" + escaped.replace("'", "\\'") + "'"
    return f'"{escaped}"'


def _openvino_streams(spec: ModelSpec) -> tuple[tuple[str, str], ...]:
    """How many images OpenVINO computes at a time: a stream needs memory for its own activations."""
    if spec.height * spec.width > _STREAM_PIXELS:
        return (("PERFORMANCE_HINT", "LATENCY"),)
    return (("PERFORMANCE_HINT", "THROUGHPUT"), ("WHOLE_MACHINE_WHEN_ALONE", "YES"))


def _detector_config(spec: ModelSpec, profile: Profile) -> str:
    text = _DETECTOR.format(
        comment=profile.comment,
        name=quote(spec.detector),
        backend=quote(profile.backend),
        filename=quote(profile.filename),
        batch=spec.batch_size,
        height=spec.height,
        width=spec.width,
        anchors=spec.anchors,
        classes=len(spec.labels),
        kind="KIND_GPU" if profile.gpu else "KIND_CPU",
    )
    note = f"# {profile.note}\n" if profile.note else ""
    parameters = profile.parameters + (_openvino_streams(spec) if profile.backend == "openvino" else ())
    return text + _parameters(parameters) + note + _WARMUP.format(height=spec.height, width=spec.width)


def _parameters(entries: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> str:
    return "".join(
        f"parameters {{ key: {quote(key)} value: {{ string_value: {quote(value)} }} }}\n" for key, value in entries
    )


def _plain(threshold: Threshold) -> float | dict[str, float]:
    if isinstance(threshold, Mapping):
        return {str(class_id): threshold[class_id] for class_id in sorted(threshold)}
    return threshold


def _stage(what: str, module: str) -> str:
    return _MODEL_PY.format(what=what, module=module)


_ENSEMBLE = """\
name: {name}
platform: "ensemble"
max_batch_size: {batch}
input [
  {{ name: "image" data_type: TYPE_STRING dims: [ 1 ] }},
  {{ name: "score_threshold" data_type: TYPE_FP32 dims: [ {classes} ] }}
]
output [
  {{ name: "boxes" data_type: TYPE_FP32 dims: [ -1, 4 ] }},
  {{ name: "scores" data_type: TYPE_FP32 dims: [ -1 ] }},
  {{ name: "class_ids" data_type: TYPE_INT32 dims: [ -1 ] }},
  {{ name: "num_detections" data_type: TYPE_INT32 dims: [ 1 ] }},
  {{ name: "error" data_type: TYPE_STRING dims: [ 1 ] }}
]
ensemble_scheduling {{
  step [
    {{
      model_name: {preprocess}
      model_version: -1
      input_map {{ key: "image" value: "image" }}
      output_map {{ key: "pixels" value: "pixels" }}
      output_map {{ key: "scale_factor" value: "scale_factor" }}
      output_map {{ key: "error" value: "unreadable" }}
    }},
    {{
      model_name: {detector}
      model_version: -1
      input_map {{ key: "pixels" value: "pixels" }}
      output_map {{ key: "boxes" value: "raw_boxes" }}
      output_map {{ key: "scores" value: "raw_scores" }}
    }},
    {{
      model_name: {postprocess}
      model_version: -1
      input_map {{ key: "raw_boxes" value: "raw_boxes" }}
      input_map {{ key: "raw_scores" value: "raw_scores" }}
      input_map {{ key: "scale_factor" value: "scale_factor" }}
      input_map {{ key: "score_threshold" value: "score_threshold" }}
      input_map {{ key: "error" value: "unreadable" }}
      output_map {{ key: "boxes" value: "boxes" }}
      output_map {{ key: "scores" value: "scores" }}
      output_map {{ key: "class_ids" value: "class_ids" }}
      output_map {{ key: "num_detections" value: "num_detections" }}
      output_map {{ key: "error" value: "error" }}
    }}
  ]
}}
# What the gateway tells of the model: class labels by class id, and the detector's input as [height, width].
"""

_DETECTOR = """\
# {comment}
name: {name}
backend: {backend}
default_model_filename: {filename}
max_batch_size: {batch}
input [
  {{ name: "pixels" data_type: TYPE_UINT8 dims: [ {height}, {width}, 3 ] }}
]
output [
  {{ name: "boxes" data_type: TYPE_FP32 dims: [ {anchors}, 4 ] }},
  {{ name: "scores" data_type: TYPE_FP32 dims: [ {classes}, {anchors} ] }}
]
dynamic_batching {{ }}
instance_group [ {{ kind: {kind} }} ]
"""

_WARMUP = """\
model_warmup [
  {{
    name: "one image"
    batch_size: 1
    inputs {{ key: "pixels" value {{ data_type: TYPE_UINT8 dims: [ {height}, {width}, 3 ] random_data: true }} }}
  }}
]
"""

_PREPROCESS = """\
name: {name}
backend: "python"
max_batch_size: {batch}
input [
  {{ name: "image" data_type: TYPE_STRING dims: [ 1 ] }}
]
output [
  {{ name: "pixels" data_type: TYPE_UINT8 dims: [ {height}, {width}, 3 ] }},
  {{ name: "scale_factor" data_type: TYPE_FP32 dims: [ 2 ] }},
  {{ name: "error" data_type: TYPE_STRING dims: [ 1 ] }}
]
dynamic_batching {{ }}
instance_group [ {{ kind: KIND_CPU }} ]
"""

_POSTPROCESS = """\
name: {name}
backend: "python"
max_batch_size: {batch}
input [
  {{ name: "raw_boxes" data_type: TYPE_FP32 dims: [ -1, 4 ] }},
  {{ name: "raw_scores" data_type: TYPE_FP32 dims: [ -1, -1 ] }},
  {{ name: "scale_factor" data_type: TYPE_FP32 dims: [ 2 ] }},
  {{ name: "score_threshold" data_type: TYPE_FP32 dims: [ -1 ] }},
  {{ name: "error" data_type: TYPE_STRING dims: [ 1 ] }}
]
output [
  {{ name: "boxes" data_type: TYPE_FP32 dims: [ -1, 4 ] }},
  {{ name: "scores" data_type: TYPE_FP32 dims: [ -1 ] }},
  {{ name: "class_ids" data_type: TYPE_INT32 dims: [ -1 ] }},
  {{ name: "num_detections" data_type: TYPE_INT32 dims: [ 1 ] }},
  {{ name: "error" data_type: TYPE_STRING dims: [ 1 ] }}
]
dynamic_batching {{ }}
instance_group [ {{ kind: KIND_CPU }} ]
# {whose} NMS ({origin}).
"""

_MODEL_PY = '''\
"""{what}; see sod/triton/{module}.py."""

from sod.triton.{module} import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''
