"""The ladder of INT8: what each rung names stays floating-point in the file that OpenVINO gets."""

from pathlib import Path

import cv2
import onnx
import openvino as ov
import pytest

from export.openvino_int8 import Rung, ladder, write_rung
from export.pictures import CalibrationPixels, synthetic_picture
from tests.export.conftest import ROOT

DEMO = ROOT / "model_repository" / "PP-YOLOE_plus_SOD-demo_detector" / "1" / "model.onnx"
CONVOLUTIONS = 86  # the same in S; the last three, of the heads' distributions, are the decoding's


@pytest.fixture(scope="module")
def rungs() -> list[Rung]:
    return ladder(onnx.load(DEMO))


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> CalibrationPixels:
    folder = tmp_path_factory.mktemp("pictures")
    paths = [folder / f"{seed}.png" for seed in range(2)]
    for seed, path in enumerate(paths):
        cv2.imwrite(str(path), synthetic_picture(seed=seed))
    return CalibrationPixels(paths, (640, 640))


def test_each_rung_keeps_more_in_floating_point(rungs: list[Rung]) -> None:
    convolutions = {node.name for node in onnx.load(DEMO).graph.node if node.op_type == "Conv"}
    assert len(convolutions) == CONVOLUTIONS
    assert [len(rung.nodes & convolutions) for rung in rungs] == [3, 24, 58]
    assert rungs[0].nodes < rungs[1].nodes < rungs[2].nodes


@pytest.mark.parametrize("index", [0, 1, 2])
def test_what_a_rung_keeps_is_not_quantised_and_all_else_is(
    rungs: list[Rung], pixels: CalibrationPixels, tmp_path: Path, index: int
) -> None:
    output = tmp_path / "model_int8.xml"
    write_rung(rungs[index], DEMO, pixels, output)
    operators = ov.Core().read_model(output).get_ops()
    convolutions = [operator for operator in operators if operator.get_type_name() == "Convolution"]
    assert len(convolutions) == CONVOLUTIONS
    kept = {name for name in map(_onnx_name, convolutions) if name in rungs[index].nodes}
    assert {_onnx_name(operator) for operator in convolutions if not _is_quantised(operator)} == kept
    assert len(kept) == [3, 24, 58][index]


def _onnx_name(operator: ov.Node) -> str:
    return str(operator.get_friendly_name()).removesuffix("/WithoutBiases")


def _is_quantised(operator: ov.Node) -> bool:
    """Whether its weights are: they are integers then, and multiplied by their scales."""
    return bool(operator.input_value(1).get_node().get_type_name() != "Constant")
