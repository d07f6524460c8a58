"""Imports OpenVINO and NNCF without telemetry, and runs a detector in OpenVINO."""

import logging
import os
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import ExportError, first_line
from export.precision import Precision
from export.verification.reference import Detector, RawOutputs
from sod.interface import BOXES, PIXELS, SCORES


def import_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry: `import openvino` alone sends a report to Intel over the network.

    OpenVINO and NNCF also work if `openvino_telemetry` cannot be imported.
    """
    if "openvino_telemetry" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # makes the import fail
    import openvino  # noqa: PLC0415  (slow to import)

    return openvino  # type: ignore[no-any-return]


def import_nncf() -> Any:
    """Import NNCF without its log output and telemetry.

    Raises:
        ExportError: it is not installed.
    """
    import_openvino()
    # NNCF reads this when it is imported: without it every call is reported to Intel.
    os.environ.setdefault("NNCF_CI", "1")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import nncf  # noqa: PLC0415  (seconds to import)
    except ImportError as error:
        raise ExportError(f"NNCF cannot be imported ({error}): install requirements/export.lock") from error
    # NNCF's own set_log_level would change the handlers of other loggers too.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    return nncf


def has_bf16() -> bool:
    """Whether this CPU computes in BF16 (AVX512-BF16 or AMX); other CPUs serve FP32."""
    ov = import_openvino()
    return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def openvino_detector(path: Path, precision: Precision) -> Detector:
    """Load a detector in OpenVINO; it runs one image at a time, as the profiles cpu_* do.

    Raises:
        ExportError: OpenVINO cannot compile it.
    """
    ov = import_openvino()
    # The layers of an INT8 model that are not quantised use BF16 too, if the CPU has it.
    hint = ov.Type.bf16 if precision is not Precision.FP32 and has_bf16() else ov.Type.f32
    core = ov.Core()
    try:
        model = core.read_model(path)
        model.reshape({PIXELS: [1, *list(model.input(PIXELS).partial_shape)[1:]]})
        compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint})
    except RuntimeError as error:
        raise ExportError(f"OpenVINO cannot compile {path.name}: {first_line(error)}") from error

    def run(pixels: NDArray[np.uint8]) -> RawOutputs:
        outputs = [compiled({PIXELS: image[None]}) for image in pixels]
        boxes, scores = ([output[name].copy() for output in outputs] for name in (BOXES, SCORES))
        return np.concatenate(boxes), np.concatenate(scores)

    return run
