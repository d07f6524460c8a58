"""Makes the ONNX detector from the converted model: the interface of docs/ensemble.md, simplification, metadata.

Input: `pixels` uint8 [N, H, W, 3], RGB. Outputs: `boxes` float32 [N, A, 4], xyxy in pixels of the input, and `scores`
float32 [N, C, A]. It contains no NMS, and N is dynamic.
"""

import json
from importlib import metadata
from pathlib import Path

import onnx
import onnxslim
from onnx import TensorProto, helper

from export.errors import ExportError
from export.files import sha256
from export.paddle.inference_model import PaddleModel, PreNmsModel
from sod.interface import BOXES, PIXELS, SCORES

OPSET = 17  # the first that has LayerNormalization as one operator
BATCH = "N"
PRODUCER = "triton-sod"


def to_detector(model: onnx.ModelProto, source: PreNmsModel) -> onnx.ModelProto:
    """Give the converted model the detector's interface, simplify it, write its metadata, check it.

    Args:
        model: of `paddle2onnx_conversion.convert`; changed in place.
        source: the model that it was converted from.

    Raises:
        ExportError: the model has other inputs or outputs than a converted SOD model, or the result is not valid ONNX.
    """
    _set_interface(model.graph, source)
    _write_metadata(model, source.source)
    slim: onnx.ModelProto = onnxslim.slim(model)
    try:
        onnx.checker.check_model(slim, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the detector is not valid ONNX: {error}") from error
    return slim


def make_detector(converted: Path, source: PreNmsModel, onnx_path: Path) -> None:
    """`to_detector` from file to file.

    Raises:
        ExportError: see `to_detector`.
        OSError: a file cannot be read or written.
    """
    onnx.save(to_detector(onnx.load(converted), source), onnx_path)


def read_metadata(model: onnx.ModelProto) -> dict[str, str]:
    """The detector's `metadata_props`, which `to_detector` wrote."""
    return {entry.key: entry.value for entry in model.metadata_props}


def _set_interface(graph: onnx.GraphProto, source: PreNmsModel) -> None:
    config = source.source.config
    names = sorted(value.name for value in graph.input)
    if names != ["image", "scale_factor"] or len(graph.output) != 2:
        raise ExportError(
            f"the converted model has the inputs {names} and {len(graph.output)} outputs, not two of each"
        )
    graph.name = config.model_name
    pixels = helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, [BATCH, config.height, config.width, 3])
    # The cast comes first: TensorRT accepts a uint8 input only if a cast follows it.
    preparation = [
        helper.make_node("Cast", [PIXELS], ["pixels_f32"], name="pixels_to_float", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels_f32"], ["image"], name="pixels_to_nchw", perm=[0, 3, 1, 2]),
    ]
    nodes = [*preparation, *graph.node]
    for output, name in zip(graph.output, (BOXES, SCORES), strict=True):
        _rename(nodes, output.name, name)
    boxes = helper.make_tensor_value_info(BOXES, TensorProto.FLOAT, [BATCH, source.anchors, 4])
    scores = helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, [BATCH, source.classes, source.anchors])
    # Boxes stay in pixels of the input; one row of ones is broadcast to any batch size.
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
            "source_sha256": sha256(source.params),
            "producer_version": model.producer_version,
            "tools": json.dumps(versions),
        },
    )
