"""FP32 ONNX → INT8 for OpenVINO, by NNCF's post-training quantisation, with accuracy control of our own.

NNCF's `quantize_with_accuracy_control` runs the model once for each of some hundred operators on each picture: two
hours for a 1920 x 1920 input, with no bound to set. Here a fixed ladder is climbed instead: each rung keeps more of the
network in floating point, and the first that passes is taken. Three rungs are the most that is run.
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

from export.detectors import openvino_detector
from export.errors import ExportError
from export.fp16 import decoding_nodes
from export.gate import Measured, measure
from export.pictures import CalibrationPixels
from export.precision import Limits, Precision
from export.quiet import import_openvino
from export.reference import Reference

LOG = logging.getLogger(__name__)
MAX_PICTURES, MAX_LARGE_PICTURES = 200, 32
# OpenVINO's reader makes two operators of a convolution with a bias: the sum has the ONNX node's name, and this is
# appended to the convolution's.
_WITHOUT_BIAS = "/WithoutBiases"


@dataclass(frozen=True, slots=True)
class Rung:
    """One attempt.

    Attributes:
        name: in a few words.
        nodes: names of the ONNX nodes that stay floating-point: BF16 where the CPU has it, else FP32.
    """

    name: str
    nodes: frozenset[str]


def quantise(
    onnx_path: Path, pixels: CalibrationPixels, reference: Reference, limits: Limits, output: Path
) -> Measured:
    """Write `output` (.xml, and .bin beside it): the first rung that passes, or else the best.

    Args:
        onnx_path: the FP32 detector.
        pixels: to calibrate on, at least `pictures.MIN_CALIBRATION`; read anew for each rung.
        reference: what rungs are measured against; its pictures should not be among `pixels`.
        limits: what passes.
        output: model_int8.xml.

    Raises:
        ExportError: NNCF cannot quantise the model.
    """
    best: Measured | None = None
    for rung in ladder(onnx.load(onnx_path)):
        attempt = output.with_name(f"attempt_{output.name}")
        write_rung(rung, onnx_path, pixels, attempt)
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


def ladder(model: onnx.ModelProto) -> list[Rung]:
    """From most to least INT8. The decoding is never quantised: a step of an 8-bit coordinate is pixels.

    The first convolutions are left out first: they see raw pixels, and what goes wrong there all later ones build on.
    """
    nodes = list(model.graph.node)
    decoding = {nodes[index].name for index in decoding_nodes(model.graph)}
    convolutions = [node.name for node in nodes if node.op_type == "Conv" and node.name not in decoding]
    quarter, most = (convolutions[: round(len(convolutions) * share)] for share in (1 / 4, 2 / 3))
    return [
        Rung("all but decoding", frozenset(decoding)),
        Rung("first quarter in floating point", frozenset(decoding | set(quarter))),
        Rung("first two thirds in floating point", frozenset(decoding | set(most))),
    ]


def write_rung(rung: Rung, onnx_path: Path, pixels: CalibrationPixels, output: Path) -> None:
    """Quantise all but the rung's nodes, and write `output` (.xml, and .bin beside it), unmeasured.

    Raises:
        ExportError: NNCF cannot quantise the model.
    """
    nncf, ov = import_nncf(), import_openvino()
    model = ov.Core().read_model(onnx_path)
    names = [operator.get_friendly_name() for operator in model.get_ops()]
    kept = sorted(name for name in names if name.removesuffix(_WITHOUT_BIAS) in rung.nodes)
    try:
        # Its progress bars go to stdout, which is for the paths of what was written.
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quantised = nncf.quantize(
                model,
                nncf.Dataset(_Batches(pixels)),
                preset=nncf.QuantizationPreset.MIXED,
                model_type=nncf.ModelType.TRANSFORMER,
                subset_size=len(pixels),
                # Names of operators that OpenVINO folds or fuses meanwhile are no error.
                ignored_scope=nncf.IgnoredScope(names=kept, validate=False),
                advanced_parameters=_advanced(nncf),
            )
        ov.save_model(quantised, output, compress_to_fp16=False)
    # NNCF's exceptions have no common base class.
    except Exception as error:
        raise ExportError(f"NNCF cannot quantise the model: {str(error).splitlines()[0]}") from error


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
    """Pictures as batches of one, made as they are asked for."""

    def __init__(self, pixels: CalibrationPixels) -> None:
        self._pixels = pixels

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (picture[None] for picture in self._pixels)
