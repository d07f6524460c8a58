"""The ladder of INT8: what a rung puts back is floating-point in the file that OpenVINO gets, and nothing else is."""

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import onnx
import openvino as ov
import pytest
from numpy.typing import NDArray

from export.openvino.int8 import Rung, decoding_names, ladder, put_back, quantise_all
from export.verification.images import CalibrationPixels, synthetic_image
from sod.interface import PIXELS, SCORES
from tests.export.conftest import ROOT

DEMO = ROOT / "model_repository" / "PP-YOLOE_plus_SOD-demo_detector" / "1" / "model.onnx"
CONVOLUTIONS = 86  # the same in S; the last three, of the heads' distributions, are the decoding's
COUNTS = [0, 8, 17, 25, 33, 42, 50, 58]


@pytest.fixture(scope="module")
def graph() -> onnx.GraphProto:
    return onnx.load(DEMO).graph


@pytest.fixture(scope="module")
def rungs(graph: onnx.GraphProto) -> list[Rung]:
    return ladder(graph)


@pytest.fixture(scope="module")
def original() -> ov.Model:
    return ov.Core().read_model(DEMO)


@pytest.fixture(scope="module")
def quantised(graph: onnx.GraphProto, original: ov.Model, tmp_path_factory: pytest.TempPathFactory) -> ov.Model:
    folder = tmp_path_factory.mktemp("images")
    paths = [folder / f"{seed}.png" for seed in range(2)]
    for seed, path in enumerate(paths):
        cv2.imwrite(str(path), synthetic_image(seed=seed))
    return quantise_all(original, decoding_names(graph), CalibrationPixels(paths, (640, 640)))


def test_each_rung_puts_back_more(graph: onnx.GraphProto, rungs: list[Rung]) -> None:
    convolutions = {node.name for node in graph.node if node.op_type == "Conv"}
    assert len(convolutions) == CONVOLUTIONS
    assert [len(rung.nodes & convolutions) for rung in rungs] == COUNTS
    assert all(fewer.nodes < more.nodes for fewer, more in pairwise(rungs))
    assert not decoding_names(graph) & rungs[-1].nodes


@pytest.mark.parametrize("index", [0, 2, 7])
def test_what_a_rung_puts_back_is_not_quantised_and_all_else_is(
    rungs: list[Rung], original: ov.Model, quantised: ov.Model, tmp_path: Path, index: int
) -> None:
    output = tmp_path / "model_int8.xml"
    ov.save_model(put_back(quantised, original, rungs[index].nodes), output, compress_to_fp16=False)
    convolutions = _convolutions(ov.Core().read_model(output))
    assert len(convolutions) == CONVOLUTIONS
    kept = {name for name, operator in convolutions.items() if not _has_integer_weights(operator)}
    decoded = {name for name in kept if name.startswith("Conv.")}
    assert len(decoded) == CONVOLUTIONS - 83
    assert kept - decoded == rungs[index].nodes
    # With its weights each has its own input again: no quantiser rounds it but for another that reads it too.
    assert not {name for name in rungs[index].nodes if _source(convolutions[name]) == "FakeQuantize"}


def test_what_is_put_back_has_its_own_weights(rungs: list[Rung], original: ov.Model, quantised: ov.Model) -> None:
    before, after = (_convolutions(model) for model in (original, put_back(quantised, original, rungs[-1].nodes)))
    for name in rungs[-1].nodes:
        assert np.array_equal(*(side[name].input_value(1).get_node().data for side in (before, after)))


def test_a_quantiser_goes_when_nothing_quantised_reads_it(
    rungs: list[Rung], original: ov.Model, quantised: ov.Model
) -> None:
    counts = [_quantisers(put_back(quantised, original, rung.nodes)) for rung in rungs]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == _quantisers(quantised)
    # Of the first convolutions each has a quantiser of its own, or shares one with its neighbour.
    assert counts[-1] <= counts[0] - 40


def test_the_more_is_put_back_the_nearer_the_scores(rungs: list[Rung], original: ov.Model, quantised: ov.Model) -> None:
    image = cv2.resize(synthetic_image(seed=3), (640, 640))[None]

    def scores(model: ov.Model) -> NDArray[np.float32]:
        single = model.clone()
        single.reshape({PIXELS: [1, 640, 640, 3]})
        compiled = ov.compile_model(single, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return np.asarray(compiled({PIXELS: image})[SCORES])

    exact = scores(original)
    errors = [
        float(np.abs(scores(put_back(quantised, original, rungs[index].nodes)) - exact).mean()) for index in (0, 7)
    ]
    assert 0 < errors[1] < errors[0]


def _convolutions(model: ov.Model) -> dict[str, ov.Node]:
    """By the names of their ONNX nodes."""
    operators = [operator for operator in model.get_ops() if operator.get_type_name() == "Convolution"]
    return {str(operator.get_friendly_name()).removesuffix("/WithoutBiases"): operator for operator in operators}


def _has_integer_weights(operator: ov.Node) -> bool:
    """They are converted and multiplied by their scales then."""
    return bool(operator.input_value(1).get_node().get_type_name() != "Constant")


def _source(operator: ov.Node) -> str:
    return str(operator.input_value(0).get_node().get_type_name())


def _quantisers(model: ov.Model) -> int:
    return sum(operator.get_type_name() == "FakeQuantize" for operator in model.get_ordered_ops())
