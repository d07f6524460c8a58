"""The edge model: the resize of OpenCV, the NMS of the server, and the same in ONNX Runtime's format."""

from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.edge.comparison import compare_objects
from export.edge.graph import make_edge, to_edge
from export.edge.resize_nodes import NodeList, add_resize
from export.edge.runtime import edge_detector, save_ort
from export.errors import ExportError
from export.onnx.runtime import onnx_detector
from export.verification.images import load_images
from export.verification.reference import Reference, run_in_batches
from sod.image import scale_factor, to_pixels
from sod.nms import NmsConfig, multiclass_nms
from tests.export.conftest import DEMO, ROOT

CROSSING = ROOT / "docs" / "examples" / "minsk-crossing.jpg"
SIZE = (640, 640)
Image: TypeAlias = NDArray[np.uint8]


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the demo's edge model in both formats."""
    folder = tmp_path_factory.mktemp("edge")
    make_edge(DEMO, NmsConfig(), "fp32", folder / "model.onnx")
    save_ort(folder / "model.onnx", folder / "model.ort")
    return folder


@pytest.fixture(scope="module")
def image() -> Image:
    return load_images([CROSSING])[0]


@pytest.mark.parametrize("shape", [(720, 1280), (640, 640), (100, 37), (1, 1), (3, 2000)])
def test_the_resize_is_opencv_s(shape: tuple[int, int]) -> None:
    graph = NodeList("")
    size = graph.add("Cast", [graph.add("Shape", ["image"])], to=TensorProto.FLOAT)
    height, width = (graph.add("Gather", [size, graph.constant(np.array(i, np.int64))], axis=0) for i in (0, 1))
    result = add_resize(graph, "image", (height, width), SIZE)
    made = helper.make_graph(
        graph.nodes,
        "resize",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["h", "w", 3])],
        [helper.make_tensor_value_info(result, TensorProto.UINT8, [*SIZE, 3])],
        graph.constants,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    image = np.random.default_rng(3).integers(0, 256, (*shape, 3), np.uint8)
    (actual,) = session.run(None, {"image": image})
    expected = cv2.resize(image, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    # OpenCV's weights have 11 bits: noise is the worst case.
    difference = np.abs(actual.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.05


@pytest.mark.parametrize("name", ["model.onnx", "model.ort"])
def test_the_objects_are_the_server_s(edge: Path, image: Image, name: str) -> None:
    found = edge_detector(edge / name)(np.ascontiguousarray(image[..., ::-1]))
    boxes, scores = onnx_detector(DEMO)(to_pixels(image, SIZE)[None])
    threshold = np.full(scores.shape[1], 0.1, np.float32)
    expected = multiclass_nms(boxes[0], scores[0], threshold, scale_factor(image, SIZE)).with_area()
    assert len(expected) > 50
    assert int((found.scores > 0.1).sum()) == len(expected)
    # Rounding can exchange two objects with almost equal scores.
    difference = np.abs(expected.boxes[:, None] - found.boxes).max(axis=2)
    difference[expected.class_ids[:, None] != found.class_ids] = np.inf
    nearest = difference.argmin(axis=1)
    assert difference.min(axis=1).max() < 0.1
    np.testing.assert_allclose(found.scores[nearest], expected.scores, atol=0.001)
    assert (np.diff(found.scores) <= 0).all(), "the best come first"


def test_both_formats_give_the_same(edge: Path, image: Image) -> None:
    one, other = (edge_detector(edge / name)(image) for name in ("model.onnx", "model.ort"))
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
    best = slice(10)  # rounding can exchange objects further down
    np.testing.assert_allclose(one.boxes[best], other.boxes[best], atol=0.05)
    assert (edge / "model.ort").read_bytes()[4:8] == b"ORTM"


def test_the_operators_are_onnx_s_own(edge: Path) -> None:
    model = onnx.load(edge / "model.onnx")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    assert [(v.name, v.type.tensor_type.elem_type) for v in model.graph.input] == [("pixels", TensorProto.UINT8)]
    assert [v.name for v in model.graph.output] == ["boxes", "scores", "class_ids"]
    assert {entry.key: entry.value for entry in model.metadata_props}["precision"] == "fp32"


def made_detector(boxes: list[list[float]], scores: list[list[float]]) -> onnx.ModelProto:
    """A detector of 8 x 8 pixels that gives these boxes [A, 4] and scores [C, A] for every image."""
    tensors = [
        numpy_helper.from_array(np.array([value], np.float32), name) for name, value in (("b", boxes), ("s", scores))
    ]
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMin", ["float"], ["least"], keepdims=0),
        helper.make_node("Mul", ["least", "zero"], ["nothing"]),
        helper.make_node("Add", ["b", "nothing"], ["boxes"]),
        helper.make_node("Add", ["s", "nothing"], ["scores"]),
    ]
    anchors, classes = len(boxes), len(scores)
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", 8, 8, 3])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, anchors, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, classes, anchors]),
        ],
        [*tensors, numpy_helper.from_array(np.array(0, np.float32), "zero")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


# The second is almost the first; the last is inverted.
BOXES: list[list[float]] = [
    [0, 0, 4, 4],
    [0, 0, 4, 3.9],
    [4, 4, 8, 8],
    [6, 6, 5, 5],
]  # the second is like the first; the last, inverted


@pytest.mark.parametrize(
    ("scores", "nms", "expected"),
    [
        ([[0.5, 0.9, 0.3, 0.99]], NmsConfig(), [(0, 1), (0, 2)]),
        ([[0.5, 0.0, 0.0, 0.0], [0.0, 0.9, 0.0, 0.0]], NmsConfig(), [(1, 1), (0, 0)]),
        ([[0.5, 0.9, 0.3, 0.99]], NmsConfig(iou_threshold=0.99), [(0, 1), (0, 0), (0, 2)]),
        ([[0.5, 0.9, 0.3, 0.99]], NmsConfig(keep_top_k=1), [(0, 1)]),
        ([[0.5, 0.9, 0.3, 0.99]], NmsConfig(score_threshold=0.4), [(0, 1)]),
        ([[0.0, 0.0, 0.0, 0.0]], NmsConfig(), []),
    ],
    ids=["one class", "classes apart", "a larger IoU", "at most one", "a threshold", "nothing"],
)
def test_the_nms(tmp_path: Path, scores: list[list[float]], nms: NmsConfig, expected: list[tuple[int, int]]) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(to_edge(made_detector(BOXES, scores), nms, "fp32"), path)
    found = edge_detector(path)(np.zeros((16, 80, 3), np.uint8))
    assert found.class_ids.tolist() == [class_id for class_id, _ in expected]
    np.testing.assert_allclose(found.scores, [scores[class_id][anchor] for class_id, anchor in expected])
    scaled = [np.multiply(BOXES[anchor], [10, 2, 10, 2]) for _, anchor in expected]
    np.testing.assert_allclose(found.boxes, np.reshape(scaled, (-1, 4)), rtol=1e-6)
    assert [str(array.dtype) for array in (found.boxes, found.class_ids)] == ["float32", "int32"]


def test_the_comparison_sees_other_boxes_and_scores(edge: Path, image: Image) -> None:
    pixels = to_pixels(image, SIZE)[None]
    boxes, scores = run_in_batches(onnx_detector(DEMO), pixels, 1)
    reference, detector = Reference(pixels, boxes, scores, "ONNX Runtime"), edge_detector(edge / "model.ort")
    same = compare_objects("same", detector, reference, (boxes, scores), NmsConfig())
    assert same.passed
    assert same.objects >= 10
    for other in ((boxes + 0.7, scores), (boxes, scores * 0.9), (boxes + 200, scores)):
        assert not compare_objects("other", detector, reference, other, NmsConfig()).passed


def test_what_is_no_detector_is_refused() -> None:
    model = made_detector(BOXES, [[0.0] * 4])
    model.graph.output[0].name = "scores"
    with pytest.raises(ExportError, match="the model is no detector: its input must be pixels"):
        to_edge(model, NmsConfig(), "fp32")


def test_a_damaged_file_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "model.ort"
    path.write_bytes(b"12345678")
    with pytest.raises(ExportError, match=r"ONNX Runtime cannot load model\.ort: "):
        edge_detector(path)
