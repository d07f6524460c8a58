"""The Triton configuration of a model, as text: the source of every config.pbtxt in `model_repository/`.

A model is an ensemble of three stages: `preprocess_<size>`, `<name>_detector` with one configuration per profile, and
`postprocess`; see `model_spec`. A second ensemble, `<name>_pixels`, leaves out the first stage: the gateway, which
decodes an image to draw on it, sends the resized pixels.
"""

import json
from collections.abc import Mapping, Sequence

from export.serving_options import Threshold
from export.triton.model_spec import MAX_BATCH_SIZE, SHARED_POSTPROCESS, ModelSpec
from export.triton.profiles import CPU_REGULAR_WITHOUT_PADDLE, PROFILES, Profile
from sod.image import DEFAULT_LIMITS
from sod.interface import ENTRANCE_OF
from sod.thread_pool import DEFAULT_TASK_TIMEOUT_S

# OpenVINO processes larger images one at a time: the activations of one 1920 x 1920 image are gigabytes.
_STREAM_PIXELS = 1280 * 1280


def ensemble_files(spec: ModelSpec) -> dict[str, str]:
    """Path in the ensemble's folder → content. Triton requires a version folder, even an empty one."""
    parameters = [
        ("labels", json.dumps(spec.labels, ensure_ascii=False)),
        ("input_size", json.dumps([spec.height, spec.width])),
    ]
    if spec.options.default_threshold is not None:
        parameters.append(("default_threshold", json.dumps(_json_threshold(spec.options.default_threshold))))
    text = _ENSEMBLE.format(
        name=quote(spec.name),
        batch=spec.batch_size,
        classes=len(spec.labels),
        preprocess=quote(spec.preprocess),
        detector=quote(spec.detector),
        postprocess=quote(spec.postprocess),
    )
    return {"config.pbtxt": text + _parameters(parameters), "1/.gitkeep": ""}


def pixel_entrance_files(spec: ModelSpec) -> dict[str, str]:
    """Path in the folder of the ensemble that takes pixels → content."""
    text = _PIXEL_ENTRANCE.format(
        name=quote(spec.pixel_entrance),
        batch=spec.batch_size,
        height=spec.height,
        width=spec.width,
        detector=quote(spec.detector),
        postprocess=quote(spec.postprocess),
    )
    return {"config.pbtxt": text + _parameters([(ENTRANCE_OF, spec.name)]), "1/.gitkeep": ""}


def detector_files(spec: ModelSpec) -> dict[str, str]:
    """Path in the detector's folder → content: one configuration per profile."""
    profiles = (CPU_REGULAR_WITHOUT_PADDLE if p.name == "cpu_regular" and not spec.paddle else p for p in PROFILES)
    return {p.path: _detector_config(spec, p) for p in profiles}


def preprocess_files(spec: ModelSpec) -> dict[str, str]:
    """Path in the first stage's folder → content."""
    text = _PREPROCESS.format(
        name=quote(spec.preprocess), batch=MAX_BATCH_SIZE, height=spec.height, width=spec.width
    ) + _parameters(
        [
            ("max_image_pixels", str(DEFAULT_LIMITS.pixels)),
            ("max_image_scans", str(DEFAULT_LIMITS.scans)),
            ("max_image_metadata_bytes", str(DEFAULT_LIMITS.metadata_bytes)),
            ("task_timeout_s", f"{DEFAULT_TASK_TIMEOUT_S:g}"),
        ]
    )
    return {"config.pbtxt": text, "1/model.py": _stage("Decode and resize", "preprocess")}


def postprocess_files(spec: ModelSpec) -> dict[str, str]:
    """Path in the third stage's folder → content."""
    own = spec.postprocess != SHARED_POSTPROCESS
    comment = (
        f"Parameters of the NMS of {spec.name}, from its Paddle program."
        if own
        else "Parameters of the NMS of PP-YOLOE+ SOD (PaddleDetection configs/smalldet, PPYOLOEHead.nms)."
    )
    text = _POSTPROCESS.format(
        name=quote(spec.postprocess),
        batch=MAX_BATCH_SIZE,
        comment=comment,
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
    """Write a string in protobuf's text format: UTF-8 unescaped, in single quotes if it contains double quotes."""
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\0", "\\000")
    if '"' in escaped:
        return "'" + escaped.replace("'", "\\'") + "'"
    return f'"{escaped}"'


def _openvino_streams(spec: ModelSpec) -> tuple[tuple[str, str], ...]:
    """OpenVINO's parameters for parallel images: each stream needs memory for its own activations."""
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
    parameters = profile.parameters
    if profile.backend == "openvino":
        # The second network, for an image that is alone, uses more cores: another device gains nothing by it.
        streams = _openvino_streams(spec)
        parameters += streams[:1] if "TARGET_DEVICE" in dict(parameters) else streams
    return text + _parameters(parameters) + note + _WARMUP.format(height=spec.height, width=spec.width)


def _parameters(entries: Sequence[tuple[str, str]]) -> str:
    return "".join(
        f"parameters {{ key: {quote(key)} value: {{ string_value: {quote(value)} }} }}\n" for key, value in entries
    )


def _json_threshold(threshold: Threshold) -> float | dict[str, float]:
    if isinstance(threshold, Mapping):
        return {str(class_id): threshold[class_id] for class_id in sorted(threshold)}
    return threshold


def _stage(summary: str, module: str) -> str:
    return _MODEL_PY.format(summary=summary, module=module)


_ENSEMBLE = """\
name: {name}
platform: "ensemble"
max_batch_size: {batch}
input [
  {{ name: "image" data_type: TYPE_STRING dims: [ 1 ] }},
  {{ name: "score_threshold" data_type: TYPE_FP32 dims: [ {classes} ] }},
  {{ name: "iou_threshold" data_type: TYPE_FP32 dims: [ 1 ] optional: true }},
  {{ name: "class_agnostic" data_type: TYPE_BOOL dims: [ 1 ] optional: true }}
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
      input_map {{ key: "iou_threshold" value: "iou_threshold" }}
      input_map {{ key: "class_agnostic" value: "class_agnostic" }}
      input_map {{ key: "error" value: "unreadable" }}
      output_map {{ key: "boxes" value: "boxes" }}
      output_map {{ key: "scores" value: "scores" }}
      output_map {{ key: "class_ids" value: "class_ids" }}
      output_map {{ key: "num_detections" value: "num_detections" }}
      output_map {{ key: "error" value: "error" }}
    }}
  ]
}}
# For the gateway: class labels by class id, and the size of the detector's input as [height, width].
"""

_PIXEL_ENTRANCE = """\
name: {name}
platform: "ensemble"
max_batch_size: {batch}
input [
  {{ name: "pixels" data_type: TYPE_UINT8 dims: [ {height}, {width}, 3 ] }},
  {{ name: "scale_factor" data_type: TYPE_FP32 dims: [ 2 ] }},
  {{ name: "score_threshold" data_type: TYPE_FP32 dims: [ -1 ] }},
  {{ name: "iou_threshold" data_type: TYPE_FP32 dims: [ 1 ] optional: true }},
  {{ name: "class_agnostic" data_type: TYPE_BOOL dims: [ 1 ] optional: true }}
]
output [
  {{ name: "boxes" data_type: TYPE_FP32 dims: [ -1, 4 ] }},
  {{ name: "scores" data_type: TYPE_FP32 dims: [ -1 ] }},
  {{ name: "class_ids" data_type: TYPE_INT32 dims: [ -1 ] }},
  {{ name: "num_detections" data_type: TYPE_INT32 dims: [ 1 ] }}
]
ensemble_scheduling {{
  step [
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
      input_map {{ key: "iou_threshold" value: "iou_threshold" }}
      input_map {{ key: "class_agnostic" value: "class_agnostic" }}
      output_map {{ key: "boxes" value: "boxes" }}
      output_map {{ key: "scores" value: "scores" }}
      output_map {{ key: "class_ids" value: "class_ids" }}
      output_map {{ key: "num_detections" value: "num_detections" }}
    }}
  ]
}}
# For the launcher: the model that this is another way into.
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
  {{ name: "iou_threshold" data_type: TYPE_FP32 dims: [ 1 ] optional: true }},
  {{ name: "class_agnostic" data_type: TYPE_BOOL dims: [ 1 ] optional: true }},
  {{ name: "error" data_type: TYPE_STRING dims: [ 1 ] optional: true }}
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
# {comment}
"""

_MODEL_PY = '''\
"""{summary}: see sod/triton/{module}.py."""

from sod.triton.{module} import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''
