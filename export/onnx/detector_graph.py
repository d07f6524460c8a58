"""The ONNX detector: the converted model given the interface of docs/ensemble.md, simplified, labelled, checked.

Input `pixels` uint8 [N, H, W, 3], RGB. Outputs `boxes` float32 [N, A, 4], xyxy in pixels of the input, and `scores`
float32 [N, C, A]. No NMS. N is free.
"""

import hashlib
import json
from importlib import metadata
from pathlib import Path

import onnx
import onnxslim
from onnx import TensorProto, helper

from export.errors import ExportError
from export.paddle.inference_model import CutModel, PaddleModel
from sod.interface import BOXES, PIXELS, SCORES

OPSET = 17  # the first that has LayerNormalization as one operator
BATCH = "N"
PRODUCER = "triton-sod"


def to_detector(model: onnx.ModelProto, cut: CutModel) -> onnx.ModelProto:
    """Give the converted model the detector's interface, simplify it, write its metadata, check it.

    Args:
        model: of `export.onnx.conversion`; changed in place.
        cut: what it was converted from.

    Raises:
        ExportError: not of the form that paddle2onnx gives a SOD model, or not valid ONNX.
    """
    _set_interface(model.graph, cut)
    _write_metadata(model, cut.source)
    slim: onnx.ModelProto = onnxslim.slim(model)
    try:
        onnx.checker.check_model(slim, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the detector is not valid ONNX: {error}") from error
    return slim


def make_detector(converted: Path, cut: CutModel, onnx_path: Path) -> None:
    """`to_detector` from file to file.

    Raises:
        ExportError: see `to_detector`.
        OSError: a file cannot be read or written.
    """
    onnx.save(to_detector(onnx.load(converted), cut), onnx_path)


def read_metadata(model: onnx.ModelProto) -> dict[str, str]:
    """The detector's `metadata_props` as `to_detector` wrote them."""
    return {entry.key: entry.value for entry in model.metadata_props}


def _set_interface(graph: onnx.GraphProto, cut: CutModel) -> None:
    config = cut.source.config
    names = sorted(value.name for value in graph.input)
    if names != ["image", "scale_factor"] or len(graph.output) != 2:
        raise ExportError(f"paddle2onnx gave inputs {names} and {len(graph.output)} outputs; expected were two of each")
    graph.name = config.model_name
    pixels = helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, [BATCH, config.height, config.width, 3])
    # The cast stands first: TensorRT takes a uint8 input only if a cast follows it.
    lead = [
        helper.make_node("Cast", [PIXELS], ["pixels_f32"], name="pixels_to_float", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels_f32"], ["image"], name="pixels_to_nchw", perm=[0, 3, 1, 2]),
    ]
    nodes = [*lead, *graph.node]
    for output, name in zip(graph.output, (BOXES, SCORES), strict=True):
        _rename(nodes, output.name, name)
    boxes = helper.make_tensor_value_info(BOXES, TensorProto.FLOAT, [BATCH, cut.anchors, 4])
    scores = helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, [BATCH, cut.classes, cut.anchors])
    # Boxes stay in pixels of the input: one row of ones serves a batch of any size.
    graph.initializer.append(helper.make_tensor("scale_factor", TensorProto.FLOAT, [1, 2], [1.0, 1.0]))
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.input.append(pixels)
    graph.output.extend([boxes, scores])


def _rename(nodes: list[onnx.NodeProto], old: str, new: str) -> None:
    for node in nodes:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]


def _write_metadata(model: onnx.ModelProto, source: PaddleModel) -> None:
    config = source.config
    with source.params.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    versions = {name: metadata.version(name) for name in ("paddlepaddle", "paddle2onnx", "onnxslim")}
    model.producer_name = PRODUCER
    model.producer_version = metadata.version(PRODUCER)
    helper.set_model_props(
        model,
        {
            "model_name": config.model_name,
            "labels": json.dumps(config.labels, ensure_ascii=False),
            "input_height": str(config.height),
            "input_width": str(config.width),
            "interpolation": config.interpolation,
            "opset": str(OPSET),
            "source_sha256": digest,
            "producer_version": model.producer_version,
            "tools": json.dumps(versions),
        },
    )
