"""Runs a detector in ONNX Runtime on the CPU."""

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from export.errors import ExportError, first_line
from export.verification.reference import Detector, RawOutputs
from sod.interface import BOXES, PIXELS, SCORES


def onnx_detector(path: Path) -> Detector:
    """Load a detector in ONNX Runtime.

    ONNX Runtime has no FP16 kernels for the CPU: it computes an FP16 model in FP32 and rounds every result to FP16.

    Raises:
        ExportError: it cannot be loaded, or, when the detector is called, run.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # The batch size changes from call to call; an arena would keep the memory of the largest batch.
    options.enable_cpu_mem_arena = False
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    # ONNX Runtime's exceptions have no public base class.
    except Exception as error:
        raise ExportError(f"ONNX Runtime cannot load the detector: {first_line(error)}") from error

    def run(pixels: NDArray[np.uint8]) -> RawOutputs:
        try:
            boxes, scores = session.run([BOXES, SCORES], {PIXELS: pixels})
        except Exception as error:
            raise ExportError(
                f"ONNX Runtime cannot run the detector on a batch of {len(pixels)}: {first_line(error)}"
            ) from error
        return boxes, scores

    return run
