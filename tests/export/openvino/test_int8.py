"""The INT8 candidates: the convolutions that they name are in floating point, and all others are quantised."""

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import onnx
import openvino as ov
import pytest
from numpy.typing import NDArray

from export.openvino.int8 import Candidate, candidates, decoding_names, quantise_all, restore_convolutions
from export.verification.images import CalibrationPixels, synthetic_image
from sod.interface import PIXELS, SCORES
from tests.export.conftest import ROOT

DEMO = ROOT / "model_repository" / "PP-YOLOE_plus_SOD-demo_detector" / "1" / "model.onnx"
CONVOLUTIONS = 86  # as in S; the last three, which project the heads' distributions, belong to the decoding
COUNTS = [0, 8, 17, 25, 33, 42, 50, 58]


@pytest.fixture(scope="module")
def graph() -> onnx.GraphProto:
    return onnx.load(DEMO).graph


@pytest.fixture(scope="module")
def choices(graph: onnx.GraphProto) -> list[Candidate]:
    return candidates(graph)


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


def test_each_candidate_has_more_convolutions_in_floating_point(
    graph: onnx.GraphProto, choices: list[Candidate]
) -> None:
    convolutions = {node.name for node in graph.node if node.op_type == "Conv"}
    assert len(convolutions) == CONVOLUTIONS
    assert [len(candidate.nodes & convolutions) for candidate in choices] == COUNTS
    assert all(fewer.nodes < more.nodes for fewer, more in pairwise(choices))
    assert not decoding_names(graph) & choices[-1].nodes


@pytest.mark.parametrize("index", [0, 2, 7])
def test_only_the_convolutions_of_the_candidate_are_not_quantised(
    choices: list[Candidate], original: ov.Model, quantised: ov.Model, tmp_path: Path, index: int
) -> None:
    output = tmp_path / "model_int8.xml"
    ov.save_model(restore_convolutions(quantised, original, choices[index].nodes), output, compress_to_fp16=False)
    convolutions = _convolutions(ov.Core().read_model(output))
    assert len(convolutions) == CONVOLUTIONS
    kept = {name for name, operator in convolutions.items() if not _has_integer_weights(operator)}
    decoded = {name for name in kept if name.startswith("Conv.")}
    assert len(decoded) == CONVOLUTIONS - 83
    assert kept - decoded == choices[index].nodes
    # Their inputs bypass the quantisers, also those that a quantised operator still reads.
    assert not {name for name in choices[index].nodes if _source(convolutions[name]) == "FakeQuantize"}


def test_restored_convolutions_have_their_original_weights(
    choices: list[Candidate], original: ov.Model, quantised: ov.Model
) -> None:
    before, after = (
        _convolutions(model) for model in (original, restore_convolutions(quantised, original, choices[-1].nodes))
    )
    for name in choices[-1].nodes:
        assert np.array_equal(*(side[name].input_value(1).get_node().data for side in (before, after)))


def test_a_quantiser_that_no_quantised_operator_reads_is_removed(
    choices: list[Candidate], original: ov.Model, quantised: ov.Model
) -> None:
    counts = [_quantisers(restore_convolutions(quantised, original, candidate.nodes)) for candidate in choices]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == _quantisers(quantised)
    # Each of the first convolutions has its own quantiser, or shares one with its neighbour.
    assert counts[-1] <= counts[0] - 40


def test_more_restored_convolutions_give_closer_scores(
    choices: list[Candidate], original: ov.Model, quantised: ov.Model
) -> None:
    image = cv2.resize(synthetic_image(seed=3), (640, 640))[None]

    def scores(model: ov.Model) -> NDArray[np.float32]:
        single = model.clone()
        single.reshape({PIXELS: [1, 640, 640, 3]})
        compiled = ov.compile_model(single, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return np.asarray(compiled({PIXELS: image})[SCORES])

    exact = scores(original)
    errors = [
        float(np.abs(scores(restore_convolutions(quantised, original, choices[index].nodes)) - exact).mean())
        for index in (0, 7)
    ]
    assert 0 < errors[1] < errors[0]


def _convolutions(model: ov.Model) -> dict[str, ov.Node]:
    """Name of the ONNX node → operator."""
    operators = [operator for operator in model.get_ops() if operator.get_type_name() == "Convolution"]
    return {str(operator.get_friendly_name()).removesuffix("/WithoutBiases"): operator for operator in operators}


def _has_integer_weights(operator: ov.Node) -> bool:
    """Integer weights are converted and multiplied by scales, so that the input is not a constant."""
    return bool(operator.input_value(1).get_node().get_type_name() != "Constant")


def _source(operator: ov.Node) -> str:
    return str(operator.input_value(0).get_node().get_type_name())


def _quantisers(model: ov.Model) -> int:
    return sum(operator.get_type_name() == "FakeQuantize" for operator in model.get_ordered_ops())
