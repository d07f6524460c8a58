"""Quantises the FP32 ONNX detector to INT8 for OpenVINO: NNCF's post-training quantisation, and our accuracy control.

NNCF's `quantize_with_accuracy_control` runs the model on every image once for each of some hundred operators: two
hours for a 1920 x 1920 input, and no option limits it. Here the model is quantised once. Then candidates are tried,
each with more of its first convolutions in floating point, until one passes the accuracy check. A candidate takes
seconds.
"""

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from export.errors import ExportError, first_line
from export.onnx.fp16 import convolutions_before_decoding, decoding_nodes
from export.openvino.runtime import import_nncf, import_openvino, openvino_detector
from export.precision import Limits, Precision
from export.verification.accuracy_check import AccuracyResult, check_accuracy
from export.verification.images import CalibrationPixels
from export.verification.reference import Reference

LOG = logging.getLogger(__name__)
MAX_IMAGES, MAX_LARGE_IMAGES = 200, 32
# OpenVINO reads a convolution with a bias as two operators: the sum gets the name of the ONNX node, and the convolution
# the same name with this suffix.
_WITHOUT_BIAS = "/WithoutBiases"
_CONVOLUTION = "Convolution"
_QUANTISER = "FakeQuantize"
_DATA_MOVEMENT = ("Concat", "Interpolate", "MaxPool", "Reshape", "Transpose")
# Each candidate has another tenth of the convolutions in floating point, up to seven tenths.
_CANDIDATES, _SHARE = 8, 1 / 10


@dataclass(frozen=True, slots=True)
class Candidate:
    """A choice of the convolutions that compute in floating point: in BF16 if the CPU has it, else in FP32.

    Attributes:
        name: describes it in a few words.
        nodes: names of these ONNX convolutions.
    """

    name: str
    nodes: frozenset[str]


def quantise(
    onnx_path: Path, pixels: CalibrationPixels, reference: Reference, limits: Limits, output: Path
) -> AccuracyResult:
    """Write `output` (.xml, and .bin beside it): the first candidate that passes the accuracy check, else the best.

    Args:
        onnx_path: the FP32 detector.
        pixels: calibration images, at least `images.MIN_CALIBRATION`.
        reference: of the accuracy check; its images should not be among `pixels`.
        limits: of the accuracy check.
        output: the path of model_int8.xml.

    Returns:
        The result of the candidate that was written.

    Raises:
        ExportError: NNCF cannot quantise the model.
    """
    ov = import_openvino()
    graph, original = onnx.load(onnx_path).graph, ov.Core().read_model(onnx_path)
    quantised = quantise_all(original, decoding_names(graph), pixels)
    trial = output.with_name(f"trial_{output.name}")
    best: AccuracyResult | None = None
    for candidate in candidates(graph):
        ov.save_model(restore_convolutions(quantised, original, candidate.nodes), trial, compress_to_fp16=False)
        name = f"{output.name} in OpenVINO ({candidate.name})"
        result = check_accuracy(name, openvino_detector(trial, Precision.INT8), reference, limits)
        share = 100 * result.matched
        LOG.info("  %s: matched %.1f %%, score %.3f, box %.2f px", candidate.name, share, result.score, result.box)
        if best is None or _rank(result) > _rank(best):
            best = result
            for suffix in (".xml", ".bin"):
                trial.with_suffix(suffix).replace(output.with_suffix(suffix))
        if best.passed:
            break
    assert best is not None  # noqa: S101  (there is at least one candidate)
    return best


def _rank(result: AccuracyResult) -> tuple[bool, float, float]:
    return result.passed, result.matched, -result.score


def decoding_names(graph: onnx.GraphProto) -> frozenset[str]:
    """Names of the nodes that are never quantised: one step of an 8-bit coordinate is several pixels."""
    return frozenset(graph.node[index].name for index in decoding_nodes(graph))


def candidates(graph: onnx.GraphProto) -> list[Candidate]:
    """The candidates, from the most to the least convolutions in INT8.

    The first convolutions return to floating point first, because their errors propagate through all later ones.
    """
    convolutions = convolutions_before_decoding(graph)
    counts = [round(len(convolutions) * _SHARE * number) for number in range(_CANDIDATES)]
    return [
        Candidate(
            f"first {count} of {len(convolutions)} convolutions in floating point" if count else "all but decoding",
            frozenset(convolutions[:count]),
        )
        for count in counts
    ]


def quantise_all(model: Any, decoding: frozenset[str], pixels: CalibrationPixels) -> Any:
    """Quantise everything but the decoding.

    Args:
        model: an `openvino.Model` read from ONNX; it is not changed.
        decoding: names of the ONNX nodes that are not quantised.
        pixels: calibration images.

    Returns:
        The quantised `openvino.Model`.

    Raises:
        ExportError: NNCF cannot quantise the model.
    """
    nncf = import_nncf()
    kept = sorted(name for name in map(_name, model.get_ops()) if _onnx_name(name) in decoding)
    try:
        # NNCF prints progress bars to stdout, which is for the paths of written files.
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return nncf.quantize(
                model,
                nncf.Dataset(_Batches(pixels)),
                preset=nncf.QuantizationPreset.MIXED,
                model_type=nncf.ModelType.TRANSFORMER,
                subset_size=len(pixels),
                # No validation: OpenVINO may have folded or fused some of these operators.
                ignored_scope=nncf.IgnoredScope(names=kept, validate=False),
                advanced_parameters=_advanced_parameters(nncf),
            )
    # NNCF's exceptions have no common base class.
    except Exception as error:
        raise ExportError(f"NNCF cannot quantise the model: {first_line(error)}") from error


def restore_convolutions(quantised: Any, original: Any, nodes: frozenset[str]) -> Any:
    """Copy the quantised model, and give some convolutions their original weights and unquantised inputs.

    Args:
        quantised: the `openvino.Model` of `quantise_all`.
        original: the `openvino.Model` that it was made from.
        nodes: names of the ONNX convolutions.

    Returns:
        The copy, an `openvino.Model`.
    """
    ov = import_openvino()
    weights = {
        _name(operator): operator.input_value(1)
        for operator in original.get_ops()
        if operator.get_type_name() == _CONVOLUTION
    }
    model = quantised.clone()
    for operator in model.get_ops():
        # Remove a quantiser that no quantised operator reads. Below, a convolution that shares one bypasses it.
        if operator.get_type_name() == _QUANTISER and _only_read_by(operator, nodes):
            operator.output(0).replace(operator.input_value(0))
    for operator in model.get_ops():
        if not _is_convolution(operator, nodes):
            continue
        source = operator.input_value(0).get_node()
        if source.get_type_name() == _QUANTISER:
            operator.input(0).replace_source_output(source.input_value(0))
        constant = ov.opset13.constant(weights[_name(operator)].get_node().data)
        operator.input(1).replace_source_output(constant.output(0))
    model.validate_nodes_and_infer_types()
    return model


def _only_read_by(operator: Any, nodes: frozenset[str]) -> bool:
    """Whether only these convolutions read an operator's outputs, directly or through operators that move data."""
    readers = [reader.get_node() for output in operator.outputs() for reader in output.get_target_inputs()]
    return all(
        _is_convolution(reader, nodes) or (reader.get_type_name() in _DATA_MOVEMENT and _only_read_by(reader, nodes))
        for reader in readers
    )


def _is_convolution(operator: Any, nodes: frozenset[str]) -> bool:
    return operator.get_type_name() == _CONVOLUTION and _onnx_name(_name(operator)) in nodes


def _name(operator: Any) -> str:
    return str(operator.get_friendly_name())


def _onnx_name(name: str) -> str:
    return name.removesuffix(_WITHOUT_BIAS)


def _advanced_parameters(nncf: Any) -> Any:
    """Ranges of activations by the least error over histograms, without SmoothQuant; measured in docs/export.md."""
    off = nncf.AdvancedSmoothQuantParameters(convolution=-1, matmul=-1)
    return nncf.AdvancedQuantizationParameters(
        activations_range_estimator_params=nncf.quantization.range_estimator.RangeEstimatorParametersSet.HISTOGRAM,
        smooth_quant_alphas=off,
    )


class _Batches:
    """The calibration images as batches of one, uint8 [1, H, W, 3], read at each iteration."""

    def __init__(self, pixels: CalibrationPixels) -> None:
        self._pixels = pixels

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (image[None] for image in self._pixels)
