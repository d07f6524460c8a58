"""FP32 to FP16: types, operators that stay FP32, values."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.errors import ExportError
from export.onnx.fp16 import SENSITIVE, decoding_nodes, to_fp16
from tests.export.conftest import DEMO

HALF, FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT


def types(model: onnx.ModelProto) -> dict[str, int]:
    typed = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    values = [*typed.graph.value_info, *typed.graph.input, *typed.graph.output]
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    return found | {tensor.name: tensor.data_type for tensor in typed.graph.initializer}


def model_of(nodes: list[onnx.NodeProto], initializers: list[onnx.TensorProto], shape: list[int]) -> onnx.ModelProto:
    """x float32 → y float32."""
    x, y = (helper.make_tensor_value_info(name, FLOAT, ["N", *shape]) for name in "xy")
    graph = helper.make_graph(nodes, "g", [x], [y], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def tensor(name: str, values: object) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.float32), name)


def run(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:  # type: ignore[type-arg]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)  # type: ignore[no-any-return]


@pytest.fixture(scope="module", params=["demo", pytest.param("full", marks=pytest.mark.slow)])
def pair(request: pytest.FixtureRequest) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """A detector in FP32 and in FP16."""
    path: Path = DEMO if request.param == "demo" else request.getfixturevalue("exported_full") / "model.onnx"
    model = onnx.load(path)
    return model, to_fp16(model)


def test_matrices_and_convolutions_are_fp16_outside_the_decoding(
    pair: tuple[onnx.ModelProto, onnx.ModelProto],
) -> None:
    _, half = pair
    kinds, decoding = types(half), decoding_nodes(half.graph)
    weighted = [
        (index, node) for index, node in enumerate(half.graph.node) if node.op_type in ("Conv", "MatMul", "Gemm")
    ]
    assert len(weighted) > 50
    for index, node in weighted:
        wanted = {FLOAT} if index in decoding else {HALF}
        assert {kinds[name] for name in (*node.input, *node.output) if name} == wanted, node.name
    assert sum(index in decoding for index, _ in weighted) == 3, "the projection of the bins, one a head"


def test_sensitive_operators_and_the_decoding_are_fp32(pair: tuple[onnx.ModelProto, onnx.ModelProto]) -> None:
    _, half = pair
    kinds, decoding = types(half), decoding_nodes(half.graph)
    assert {"LayerNormalization", "Softmax", "GlobalAveragePool"} <= {node.op_type for node in half.graph.node}
    for index, node in enumerate(half.graph.node):
        if (node.op_type in SENSITIVE or index in decoding) and node.op_type != "Cast":
            assert {kinds[name] for name in node.output} == {FLOAT}, node.name


def test_the_interface_and_the_original_stay(pair: tuple[onnx.ModelProto, onnx.ModelProto]) -> None:
    model, half = pair
    assert half.graph.input == model.graph.input
    assert half.graph.output == model.graph.output
    assert {entry.key for entry in half.metadata_props} == {e.key for e in model.metadata_props} | {"precision"}
    assert not any(t.data_type == HALF for t in model.graph.initializer)
    weights = sum(len(t.raw_data) for t in model.graph.initializer)
    assert sum(len(t.raw_data) for t in half.graph.initializer) < 0.6 * weights


def test_nothing_is_cast_twice(pair: tuple[onnx.ModelProto, onnx.ModelProto]) -> None:
    _, half = pair
    casts = [node for node in half.graph.node if node.op_type == "Cast"]
    assert len({(node.input[0], node.attribute[0].i) for node in casts}) == len(casts)
    made = {name for node in casts for name in node.output if not node.name.startswith("pixels")}
    assert not made & {node.input[0] for node in casts}


def test_the_same_bytes_each_time() -> None:
    model = onnx.load(DEMO)
    assert to_fp16(model).SerializeToString() == to_fp16(model).SerializeToString()


def test_coordinates_keep_their_precision() -> None:
    # Stride and anchors at 1920: FP16 cannot represent 1900.5, so boxes must not be FP16.
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["logits"]),
        helper.make_node("Mul", ["logits", "stride"], ["scaled"]),
        helper.make_node("Add", ["scaled", "anchors"], ["y"]),
    ]
    model = model_of(
        nodes, [tensor("w", np.ones((1, 1, 1, 1))), tensor("stride", [32]), tensor("anchors", [1900.5])], [1, 1, 1]
    )
    (boxes,) = run(to_fp16(model), {"x": np.full((1, 1, 1, 1), 0.25, np.float32)})
    assert boxes.item() == 1908.5


def test_one_weight_for_both_types() -> None:
    nodes = [
        helper.make_node("Mul", ["x", "c"], ["a"]),
        helper.make_node("Conv", ["a", "w"], ["b"]),
        helper.make_node("Mul", ["b", "c"], ["y"]),
    ]
    half = to_fp16(model_of(nodes, [tensor("c", [3]), tensor("w", np.ones((1, 1, 1, 1)))], [1, 2, 2]))
    assert {t.name: t.data_type for t in half.graph.initializer} == {"c": FLOAT, "c_f16": HALF, "w_f16": HALF}


@pytest.mark.parametrize("value", [1e-6, 70000.0])
def test_a_constant_that_fp16_cannot_represent_keeps_its_node_fp32(value: float) -> None:
    nodes = [
        helper.make_node("Mul", ["x", "c"], ["a"], name="scale"),
        helper.make_node("Conv", ["a", "w"], ["y"]),
    ]
    half = to_fp16(model_of(nodes, [tensor("c", [value]), tensor("w", np.ones((1, 1, 1, 1)))], [1, 2, 2]))
    assert {t.name: t.data_type for t in half.graph.initializer} == {"c": FLOAT, "w_f16": HALF}


def test_an_output_of_an_fp16_node_is_fp32() -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
    half = to_fp16(model_of(nodes, [tensor("w", np.ones((1, 1, 1, 1)))], [1, 2, 2]))
    assert types(half)["y"] == FLOAT
    np.testing.assert_array_equal(run(half, {"x": np.ones((2, 1, 2, 2), np.float32)})[0], np.ones((2, 1, 2, 2)))


def test_resize_keeps_its_scales_and_loses_its_empty_region() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Resize", ["a", "roi", "scales"], ["b"], mode="nearest"),
        helper.make_node("Conv", ["b", "w"], ["y"]),
    ]
    weights = [tensor("w", np.ones((1, 1, 1, 1))), tensor("roi", []), tensor("scales", [1, 1, 1, 1])]
    half = to_fp16(model_of(nodes, weights, [1, 2, 2]))
    resize = next(node for node in half.graph.node if node.op_type == "Resize")
    assert list(resize.input[1:]) == ["", "scales"]
    run(half, {"x": np.ones((1, 1, 2, 2), np.float32)})


def test_subgraphs_are_not_supported() -> None:
    branch = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["z"])], "b", [], [helper.make_tensor_value_info("z", FLOAT, None)]
    )
    nodes = [helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)]
    condition = numpy_helper.from_array(np.array(True), "c")
    with pytest.raises(ExportError, match="the operator If contains a subgraph"):
        to_fp16(model_of(nodes, [condition], [1, 2, 2]))
