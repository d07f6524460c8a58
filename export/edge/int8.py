"""Quantises the FP32 detector to INT8 for ONNX Runtime: QuantizeLinear and DequantizeLinear around convolutions.

As for OpenVINO (`export.openvino.int8`), candidates are tried, each with more of its first convolutions in floating
point, until one passes the accuracy check.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from export.errors import ExportError, first_line
from export.onnx.fp16 import convolutions_before_decoding
from export.onnx.runtime import onnx_detector
from export.precision import Limits
from export.verification.accuracy_check import AccuracyResult, check_accuracy
from export.verification.images import CalibrationPixels
from export.verification.reference import Reference
from sod.interface import PIXELS

LOG = logging.getLogger(__name__)
MAX_IMAGES = 32
_SHARES = (0.0, 0.1, 0.25, 0.5)  # of the convolutions, the first ones, in floating point


def quantise_edge(
    onnx_path: Path, pixels: CalibrationPixels, reference: Reference, limits: Limits, output: Path
) -> AccuracyResult:
    """Write `output`: the first candidate that passes the accuracy check, else the one that matches most objects.

    Args:
        onnx_path: the FP32 detector.
        pixels: calibration images, at least `images.MIN_CALIBRATION`.
        reference: of the accuracy check.
        limits: of the accuracy check.
        output: the path of the INT8 detector.

    Returns:
        The result of the candidate that was written.

    Raises:
        ExportError: ONNX Runtime cannot quantise the model.
    """
    convolutions = convolutions_before_decoding(onnx.load(onnx_path).graph)
    trial = output.with_name(f"trial_{output.name}")
    best: AccuracyResult | None = None
    for share in _SHARES:
        count = round(len(convolutions) * share)
        _quantise(onnx_path, trial, pixels, convolutions[count:])
        name = f"edge int8 detector ({count} of {len(convolutions)} convolutions in floating point)"
        result = check_accuracy(name, onnx_detector(trial), reference, limits)
        LOG.info("  %s: matched %.1f %%, score %.3f, box %.2f px", name, 100 * result.matched, result.score, result.box)
        if best is None or (result.passed, result.matched) > (best.passed, best.matched):
            best = result
            trial.replace(output)
        if best.passed:
            break
    trial.unlink(missing_ok=True)
    assert best is not None  # noqa: S101  (there is at least one candidate)
    return best


def _quantise(source: Path, target: Path, pixels: CalibrationPixels, convolutions: list[str]) -> None:
    try:
        # ONNX Runtime prints and logs advice that is not for the user of the export.
        with contextlib.redirect_stdout(sys.stderr), _root_logger_off():
            quantize_static(
                source,
                target,
                _Batches(pixels),
                quant_format=QuantFormat.QDQ,
                nodes_to_quantize=convolutions,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                # Products of 8 bits are added up in 16 bits by x86 CPUs without VNNI: 7 bits for weights cannot
                # overflow.
                reduce_range=True,
            )
    # ONNX Runtime's exceptions have no public base class.
    except Exception as error:
        raise ExportError(f"ONNX Runtime cannot quantise the model: {first_line(error)}") from error


@contextlib.contextmanager
def _root_logger_off() -> Iterator[None]:
    root = logging.getLogger()
    disabled, root.disabled, handlers = root.disabled, True, list(root.handlers)
    try:
        yield
    finally:
        root.disabled = disabled
        root.handlers[:] = handlers  # a message to a root without handlers has added one


class _Batches(CalibrationDataReader):  # type: ignore[misc]
    """The calibration images as batches of one."""

    def __init__(self, pixels: CalibrationPixels) -> None:
        self._images = iter(pixels)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        image = next(self._images, None)
        return None if image is None else {PIXELS: image[None]}
