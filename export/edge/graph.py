"""Makes the edge model of a detector: resize, detector and NMS in one graph.

Input: `pixels` uint8 [height, width, 3], RGB, of any size. Outputs, by descending score: `boxes` float32 [M, 4], xyxy
in pixels of the image, `scores` float32 [M], `class_ids` int32 [M]. M is 0 to `NmsConfig.keep_top_k`.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from export.edge.resize_nodes import NodeList, add_resize
from export.errors import ExportError
from sod.interface import BOXES, CLASS_IDS, PIXELS, RAW_BOXES, RAW_SCORES, SCORES
from sod.nms import NmsConfig

_DETECTOR_PIXELS = "detector_pixels"  # the detector's own input, in the edge model
_INNER = {PIXELS: _DETECTOR_PIXELS, BOXES: RAW_BOXES, SCORES: RAW_SCORES}


def to_edge(detector: onnx.ModelProto, nms: NmsConfig, precision: str) -> onnx.ModelProto:
    """Put a detector between a resize and an NMS; the argument is not changed.

    The NMS gives what `sod.nms.multiclass_nms` gives, except that it takes all anchors (`nms_top_k` has no effect), and
    that boxes without an area are left out before it, not after it.

    Args:
        detector: of `detector_graph.to_detector`, or one made from it in another precision.
        nms: its parameters.
        precision: written into the metadata.

    Raises:
        ExportError: it is not such a detector, or the result is not valid ONNX.
    """
    graph = detector.graph
    if [value.name for value in graph.input] != [PIXELS] or [value.name for value in graph.output] != [BOXES, SCORES]:
        raise ExportError(f"the model is no detector: its input must be {PIXELS}, its outputs {BOXES} and {SCORES}")
    height, width = (side.dim_value for side in graph.input[0].type.tensor_type.shape.dim[1:3])
    before, after = NodeList("edge_pre_"), NodeList("edge_post_")
    sides = _add_sides(before)
    resized = add_resize(before, PIXELS, sides, (height, width))
    before.add("Unsqueeze", [resized, before.indices(0)], _DETECTOR_PIXELS)
    _add_nms(after, nms, sides, (height, width))

    inner = []
    for node in graph.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        for names in (copy.input, copy.output):
            names[:] = [_INNER.get(name, name) for name in names]
        inner.append(copy)
    edge = helper.make_graph(
        [*before.nodes, *inner, *after.nodes],
        f"{graph.name}_edge",
        [helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, ["height", "width", 3])],
        [
            helper.make_tensor_value_info(BOXES, TensorProto.FLOAT, ["objects", 4]),
            helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, ["objects"]),
            helper.make_tensor_value_info(CLASS_IDS, TensorProto.INT32, ["objects"]),
        ],
        [*graph.initializer, *before.constants, *after.constants],
    )
    model: onnx.ModelProto = helper.make_model(
        edge,
        opset_imports=detector.opset_import,
        ir_version=detector.ir_version,
        producer_name=detector.producer_name,
        producer_version=detector.producer_version,
    )
    props = {entry.key: entry.value for entry in detector.metadata_props}
    helper.set_model_props(model, props | {"precision": precision})
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the edge model is not valid ONNX: {error}") from error
    return model


def make_edge(detector: Path, nms: NmsConfig, precision: str, output: Path) -> None:
    """`to_edge` from file to file.

    Raises:
        ExportError: see `to_edge`.
        OSError: a file cannot be read or written.
    """
    onnx.save(to_edge(onnx.load(detector), nms, precision), output)


def _add_sides(graph: NodeList) -> tuple[str, str]:
    """Height and width of the image as float32 scalars."""
    shape = graph.add("Cast", [graph.add("Shape", [PIXELS])], to=TensorProto.FLOAT)
    height, width = (graph.add("Gather", [shape, graph.constant(np.array(axis, np.int64))], axis=0) for axis in (0, 1))
    return height, width


def _add_nms(graph: NodeList, nms: NmsConfig, sides: tuple[str, str], size: tuple[int, int]) -> None:
    boxes = graph.add("Squeeze", [RAW_BOXES, graph.indices(0)])
    scores = _add_scores_of_areas(graph, boxes)
    selected = graph.add(
        "NonMaxSuppression",
        [
            RAW_BOXES,
            graph.add("Unsqueeze", [scores, graph.indices(0)]),
            graph.indices(nms.keep_top_k),
            graph.constant(np.array([nms.iou_threshold], np.float32)),
            graph.constant(np.array([nms.score_threshold], np.float32)),
        ],
    )  # [M, 3]: 0, class, anchor
    pairs = graph.add("Slice", [selected, graph.indices(1), graph.indices(3), graph.indices(1)])
    kept = graph.add("GatherND", [scores, pairs])
    count = graph.add("Shape", [kept])
    graph.nodes.append(
        helper.make_node("TopK", [kept, count], ["edge_sorted", "edge_order"], name="edge_post_sort", axis=0)
    )
    first, most = graph.indices(0), graph.indices(nms.keep_top_k)
    graph.add("Slice", ["edge_sorted", first, most], SCORES)
    order = graph.add("Slice", ["edge_order", first, most])
    best = graph.add("Gather", [pairs, order], axis=0)
    classes, anchors = (
        graph.add("Gather", [best, graph.constant(np.array(column, np.int64))], axis=1) for column in (0, 1)
    )
    graph.add("Cast", [classes], CLASS_IDS, to=TensorProto.INT32)
    height, width = sides
    scale_x = graph.add("Mul", [width, graph.number(1 / size[1])])
    scale_y = graph.add("Mul", [height, graph.number(1 / size[0])])
    one = graph.indices(1)
    parts = [graph.add("Reshape", [scale, one]) for scale in (scale_x, scale_y)]
    scale = graph.add("Concat", [*parts, *parts], axis=0)
    graph.add("Mul", [graph.add("Gather", [boxes, anchors], axis=0), scale], BOXES)


def _add_scores_of_areas(graph: NodeList, boxes: str) -> str:
    """Scores [C, A], 0 where a box has no area: the head's distances can be negative, and PaddleX drops such boxes."""
    one, two, four = graph.indices(1), graph.indices(2), graph.indices(4)
    low = graph.add("Slice", [boxes, graph.indices(0), two, one])
    high = graph.add("Slice", [boxes, two, four, one])
    positive = graph.add("Cast", [graph.add("Greater", [high, low])], to=TensorProto.FLOAT)  # [A, 2]
    area = graph.add("ReduceMin", [positive], axes=[1], keepdims=0)
    return graph.add("Mul", [graph.add("Squeeze", [RAW_SCORES, graph.indices(0)]), area])
