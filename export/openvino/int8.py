"""FP32 ONNX → INT8 for OpenVINO, by NNCF's post-training quantisation, with accuracy control of our own.

NNCF's `quantize_with_accuracy_control` runs the model once for each of some hundred operators on each image: two
hours for a 1920 x 1920 input, with no bound to set. Here the model is quantised once and a ladder is climbed: each rung
puts more of its convolutions back into floating point, and the first that passes is taken. A rung takes seconds.
"""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from export.errors import ExportError
from export.onnx.fp16 import decoding_nodes
from export.paddle.lazy_imports import import_openvino
from export.precision import Limits, Precision
from export.verification.accuracy_check import Measured, measure
from export.verification.detectors import openvino_detector
from export.verification.images import CalibrationPixels
from export.verification.reference import Reference

LOG = logging.getLogger(__name__)
MAX_IMAGES, MAX_LARGE_IMAGES = 200, 32
# OpenVINO's reader makes two operators of a convolution with a bias: the sum has the ONNX node's name, and this is
# appended to the convolution's.
_WITHOUT_BIAS = "/WithoutBiases"
_CONVOLUTION = "Convolution"
_QUANTISER = "FakeQuantize"
_MOVING = ("Concat", "Interpolate", "MaxPool", "Reshape", "Transpose")
# A rung has a tenth of the convolutions more in floating point than the one before it, up to seven tenths.
_RUNGS, _SHARE = 8, 1 / 10


@dataclass(frozen=True, slots=True)
class Rung:
    """One attempt.

    Attributes:
        name: in a few words.
        nodes: names of the ONNX convolutions that are put back: into BF16 where the CPU has it, else FP32.
    """

    name: str
    nodes: frozenset[str]


def quantise(
    onnx_path: Path, pixels: CalibrationPixels, reference: Reference, limits: Limits, output: Path
) -> Measured:
    """Write `output` (.xml, and .bin beside it): the first rung that passes, or else the best.

    Args:
        onnx_path: the FP32 detector.
        pixels: to calibrate on, at least `images.MIN_CALIBRATION`.
        reference: what rungs are measured against; its images should not be among `pixels`.
        limits: what passes.
        output: model_int8.xml.

    Raises:
        ExportError: NNCF cannot quantise the model.
    """
    ov = import_openvino()
    graph, original = onnx.load(onnx_path).graph, ov.Core().read_model(onnx_path)
    quantised = quantise_all(original, decoding_names(graph), pixels)
    attempt = output.with_name(f"attempt_{output.name}")
    best: Measured | None = None
    for rung in ladder(graph):
        ov.save_model(put_back(quantised, original, rung.nodes), attempt, compress_to_fp16=False)
        name = f"{output.name} in OpenVINO ({rung.name})"
        measured = measure(name, openvino_detector(attempt, Precision.INT8), reference, limits)
        LOG.info(
            "  %s: matched %.1f %%, score %.3f, box %.2f px",
            rung.name,
            100 * measured.matched,
            measured.score,
            measured.box,
        )
        if best is None or (measured.passed, measured.matched, -measured.score) > (
            best.passed,
            best.matched,
            -best.score,
        ):
            best = measured
            for suffix in (".xml", ".bin"):
                attempt.with_suffix(suffix).replace(output.with_suffix(suffix))
        if best.passed:
            break
    assert best is not None  # noqa: S101  (the ladder has rungs)
    return best


def decoding_names(graph: onnx.GraphProto) -> frozenset[str]:
    """Names of the nodes that are never quantised: a step of an 8-bit coordinate is pixels."""
    return frozenset(graph.node[index].name for index in decoding_nodes(graph))


def ladder(graph: onnx.GraphProto) -> list[Rung]:
    """From most to least INT8.

    The first convolutions are put back first: they see raw pixels, and what goes wrong there all later ones build on.
    """
    decoding = decoding_names(graph)
    convolutions = [node.name for node in graph.node if node.op_type == "Conv" and node.name not in decoding]
    counts = [round(len(convolutions) * _SHARE * number) for number in range(_RUNGS)]
    return [
        Rung(
            f"first {count} of {len(convolutions)} convolutions in floating point" if count else "all but decoding",
            frozenset(convolutions[:count]),
        )
        for count in counts
    ]


def quantise_all(model: Any, decoding: frozenset[str], pixels: CalibrationPixels) -> Any:
    """Quantise all but the decoding.

    Args:
        model: `openvino.Model`, read from ONNX; it stays as it is.
        decoding: names of ONNX nodes.
        pixels: to calibrate on.

    Returns:
        Another `openvino.Model`.

    Raises:
        ExportError: NNCF cannot quantise the model.
    """
    nncf = import_nncf()
    kept = sorted(name for name in map(_name, model.get_ops()) if _onnx_name(name) in decoding)
    try:
        # Its progress bars go to stdout, which is for the paths of what was written.
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return nncf.quantize(
                model,
                nncf.Dataset(_Batches(pixels)),
                preset=nncf.QuantizationPreset.MIXED,
                model_type=nncf.ModelType.TRANSFORMER,
                subset_size=len(pixels),
                # Names of operators that OpenVINO folds or fuses meanwhile are no error.
                ignored_scope=nncf.IgnoredScope(names=kept, validate=False),
                advanced_parameters=_advanced(nncf),
            )
    # NNCF's exceptions have no common base class.
    except Exception as error:
        raise ExportError(f"NNCF cannot quantise the model: {str(error).splitlines()[0]}") from error


def put_back(quantised: Any, original: Any, nodes: frozenset[str]) -> Any:
    """A copy of the quantised model in which some convolutions have their own weights and unrounded inputs again.

    Args:
        quantised: the `openvino.Model` of `quantise_all`.
        original: what it was made of.
        nodes: names of ONNX convolutions.
    """
    ov = import_openvino()
    weights = {
        _name(operator): operator.input_value(1)
        for operator in original.get_ops()
        if operator.get_type_name() == _CONVOLUTION
    }
    model = quantised.clone()
    for operator in model.get_ops():
        # A quantiser that no quantised operator needs any more goes; what shares one with others reads past it.
        if operator.get_type_name() == _QUANTISER and _ends_in(operator, nodes):
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


def _ends_in(operator: Any, nodes: frozenset[str]) -> bool:
    """Whether all that reads an operator's outputs, through others that only move values, are these convolutions."""
    readers = [reader.get_node() for output in operator.outputs() for reader in output.get_target_inputs()]
    return all(
        _is_convolution(reader, nodes) or (reader.get_type_name() in _MOVING and _ends_in(reader, nodes))
        for reader in readers
    )


def _is_convolution(operator: Any, nodes: frozenset[str]) -> bool:
    return operator.get_type_name() == _CONVOLUTION and _onnx_name(_name(operator)) in nodes


def _name(operator: Any) -> str:
    return str(operator.get_friendly_name())


def _onnx_name(name: str) -> str:
    return name.removesuffix(_WITHOUT_BIAS)


def import_nncf() -> Any:
    """NNCF, silent and without telemetry.

    Raises:
        ExportError: it is not installed.
    """
    import_openvino()
    # Read when NNCF is imported: without it every call is reported to its makers.
    os.environ.setdefault("NNCF_CI", "1")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import nncf  # noqa: PLC0415  (seconds to import)
    except ImportError as error:
        raise ExportError(f"NNCF cannot be imported ({error}): install requirements/export.lock") from error
    # Its own set_log_level turns down the handlers of others, too.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    return nncf


def _advanced(nncf: Any) -> Any:
    """Ranges of activations by least error over histograms, no SmoothQuant: docs/export.md has what each gave."""
    off = nncf.AdvancedSmoothQuantParameters(convolution=-1, matmul=-1)
    return nncf.AdvancedQuantizationParameters(
        activations_range_estimator_params=nncf.quantization.range_estimator.RangeEstimatorParametersSet.HISTOGRAM,
        smooth_quant_alphas=off,
    )


class _Batches:
    """Images as batches of one, made as they are asked for."""

    def __init__(self, pixels: CalibrationPixels) -> None:
        self._pixels = pixels

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (image[None] for image in self._pixels)
