"""Converts the FP32 detector to FP16, for TensorRT's strongly typed networks, which use the types in the file.

Weights and features become FP16. Operators that would lose accuracy stay FP32, with casts around them: see
`kept_in_fp32`. The input stays uint8 and both outputs stay FP32.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.errors import ExportError

# Sums over thousands of values, and exponentials: an FP16 sum overflows at 65504, and has 11 significant bits.
SENSITIVE = frozenset(
    {
        *("LayerNormalization", "InstanceNormalization", "BatchNormalization", "Softmax", "LogSoftmax"),
        *("ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL2", "ReduceProd", "GlobalAveragePool", "Exp", "Pow"),
    }
)
# The last of these on a path to an output end the heads; the decoding of boxes and scores follows them.
WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_MOVES_DATA = frozenset({"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Identity", "Flatten"})
# Positions of inputs that ONNX defines as float32 for every type of the data.
_FP32_INPUTS = {"Resize": {1, 2}, "Dropout": {1, 2}}
_LARGEST, _SMALLEST = 65504.0, 2.0**-14


def to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Convert a detector of `detector_graph.to_detector`; the argument is not changed.

    Raises:
        ExportError: the graph has an unsupported operator, or the result is not valid ONNX.
    """
    typed = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    _Conversion(result, _float_tensors(typed)).run()
    props = {entry.key: entry.value for entry in model.metadata_props}
    helper.set_model_props(result, props | {"precision": "fp16"})
    try:
        onnx.checker.check_model(result, full_check=True)
        onnx.shape_inference.infer_shapes(result, check_type=True, strict_mode=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the FP16 detector is not valid ONNX: {error}") from error
    return result


def make_fp16(onnx_path: Path, fp16_path: Path) -> None:
    """`to_fp16` from file to file.

    Raises:
        ExportError: see `to_fp16`.
        OSError: a file cannot be read or written.
    """
    onnx.save(to_fp16(onnx.load(onnx_path)), fp16_path)


def kept_in_fp32(graph: onnx.GraphProto, opset: int) -> set[int]:
    """Indices of the nodes that stay FP32.

    - The decoding: all nodes between the heads' last convolutions and the outputs, including the softmax over the bins
      of a box's side and its projection. FP16 has steps of one pixel beyond 1024.
    - `SENSITIVE` operators.
    - Nodes with a constant that FP16 cannot represent: beyond 65504, or a scalar (an epsilon) below 2**-14.
    - Operators that ONNX does not define for FP16.
    """
    kept = decoding_nodes(graph)
    values = {tensor.name: tensor for tensor in graph.initializer}
    for index, node in enumerate(graph.node):
        if (
            node.op_type in SENSITIVE
            or not _takes_fp16(node, opset)
            or any(_out_of_range(values[name]) for name in node.input if name in values)
        ):
            kept.add(index)
    return kept


def decoding_nodes(graph: onnx.GraphProto) -> set[int]:
    """Indices of the nodes that decode boxes and scores, between the heads and the outputs."""
    producer = {name: index for index, node in enumerate(graph.node) for name in node.output}
    return {index for output in graph.output for index in _decoding(graph, producer, output.name)}


def _decoding(graph: onnx.GraphProto, producer: dict[str, int], output: str) -> set[int]:
    """The nodes from `output` back to the heads: to a softmax over bins, else to a convolution."""
    found: set[int] = set()
    waiting = [output]
    while waiting:
        index = producer.get(waiting.pop())
        if index is None or index in found:
            continue
        node = graph.node[index]
        if node.op_type in WEIGHTED and not _follows_softmax(graph, producer, node):
            continue
        found.add(index)
        if node.op_type != "Softmax":
            waiting.extend(node.input)
    return found


def _follows_softmax(graph: onnx.GraphProto, producer: dict[str, int], node: onnx.NodeProto) -> bool:
    """Whether the node projects a softmax: the expectation of distribution focal loss (Li et al. 2020)."""
    while (index := producer.get(node.input[0])) is not None:
        node = graph.node[index]
        if node.op_type not in _MOVES_DATA:
            return node.op_type == "Softmax"
    return False


def convolutions_before_decoding(graph: onnx.GraphProto) -> list[str]:
    """Names of the convolutions that the decoding does not hold, in the order of the graph: those of INT8."""
    decoding = decoding_nodes(graph)
    return [node.name for index, node in enumerate(graph.node) if node.op_type == "Conv" and index not in decoding]


def _takes_fp16(node: onnx.NodeProto, opset: int) -> bool:
    if node.domain not in ("", "ai.onnx"):
        return False
    try:
        schema = onnx.defs.get_schema(node.op_type, opset)
    except onnx.defs.SchemaError:
        return False
    types = {value.type_str for value in (*schema.inputs, *schema.outputs)}
    floats = [c.allowed_type_strs for c in schema.type_constraints if c.type_param_str in types]
    return all("tensor(float16)" in allowed for allowed in floats if "tensor(float)" in allowed)


def _out_of_range(tensor: onnx.TensorProto) -> bool:
    if tensor.data_type != TensorProto.FLOAT:
        return False
    values = np.abs(numpy_helper.to_array(tensor))
    finite = values[np.isfinite(values)]
    return bool((finite > _LARGEST).any() or (values.size == 1 and 0 < float(values.reshape(-1)[0]) < _SMALLEST))


def _float_tensors(typed: onnx.ModelProto) -> set[str]:
    graph = typed.graph
    values = [*graph.value_info, *graph.input, *graph.output]
    floats = {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    return floats | {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}


class _Conversion:
    """Converts the nodes in their order, and gives each its inputs in its own type."""

    def __init__(self, model: onnx.ModelProto, floats: set[str]) -> None:
        self.graph, self.floats = model.graph, floats
        opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
        self.kept = kept_in_fp32(model.graph, opset)
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}
        # The type in which each tensor is produced; initializers exist in both.
        self.types = {value.name: TensorProto.FLOAT for value in model.graph.input if value.name in floats}
        self.casts: dict[tuple[str, int], str] = {}
        self.fp16_weights: dict[str, onnx.TensorProto] = {}

    def run(self) -> None:
        nodes = [node for index in range(len(self.graph.node)) for node in self._convert(index)]
        nodes += self._outputs(nodes)
        used = {name for node in nodes for name in node.input}
        tensors = [tensor for name, tensor in self.weights.items() if name in used]
        del self.graph.node[:], self.graph.initializer[:], self.graph.value_info[:]
        self.graph.node.extend(nodes)
        self.graph.initializer.extend([*tensors, *self.fp16_weights.values()])

    def _convert(self, index: int) -> Iterator[onnx.NodeProto]:
        node = onnx.NodeProto()
        node.CopyFrom(self.graph.node[index])
        if any(
            attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for attribute in node.attribute
        ):
            raise ExportError(
                f"the operator {node.op_type} contains a subgraph, which the conversion to FP16 does not support"
            )
        elem_type = TensorProto.FLOAT if index in self.kept else TensorProto.FLOAT16
        fp32_inputs = _FP32_INPUTS.get(node.op_type, set())
        for position, name in enumerate(node.input):
            if name in self.floats:
                target = TensorProto.FLOAT if position in fp32_inputs else elem_type
                node.input[position], cast = self._as(name, target)
                yield from cast
        if node.op_type == "Resize" and len(node.input) > 1 and self._is_empty(node.input[1]):
            node.input[1] = ""  # paddle2onnx's unused region of interest, about which TensorRT warns
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = elem_type
            elif attribute.type == onnx.AttributeProto.TENSOR and attribute.t.data_type == TensorProto.FLOAT:
                attribute.t.CopyFrom(_cast_tensor(attribute.t, elem_type))
        self.types |= {name: elem_type for name in node.output if name in self.floats}
        yield node

    def _is_empty(self, name: str) -> bool:
        return name in self.weights and 0 in self.weights[name].dims

    def _as(self, name: str, elem_type: int) -> tuple[str, list[onnx.NodeProto]]:
        """The tensor's name in the type `elem_type`, and a new Cast node if one is needed."""
        if name in self.weights:
            if elem_type == TensorProto.FLOAT:
                return name, []
            fp16_name = f"{name}_f16"
            if fp16_name not in self.fp16_weights:
                self.fp16_weights[fp16_name] = _cast_tensor(self.weights[name], TensorProto.FLOAT16)
                self.fp16_weights[fp16_name].name = fp16_name
            return fp16_name, []
        if self.types[name] == elem_type:
            return name, []
        key = name, elem_type
        if key in self.casts:
            return self.casts[key], []
        self.casts[key] = f"{name}_{'f16' if elem_type == TensorProto.FLOAT16 else 'f32'}"
        return self.casts[key], [
            helper.make_node("Cast", [name], [self.casts[key]], name=f"cast_{self.casts[key]}", to=elem_type)
        ]

    def _outputs(self, nodes: list[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
        """Cast the outputs that an FP16 node produces to FP32; the outputs keep their names."""
        for output in self.graph.output:
            if self.types.get(output.name) != TensorProto.FLOAT16:
                continue
            inner = f"{output.name}_inner"
            for node in nodes:
                for names in (node.input, node.output):
                    names[:] = [inner if name == output.name else name for name in names]
            yield helper.make_node("Cast", [inner], [output.name], name=f"cast_{output.name}", to=TensorProto.FLOAT)


def _cast_tensor(tensor: onnx.TensorProto, elem_type: int) -> onnx.TensorProto:
    values = numpy_helper.to_array(tensor)
    to_half = elem_type == TensorProto.FLOAT16
    return numpy_helper.from_array(values.astype(np.float16) if to_half else values, tensor.name)
