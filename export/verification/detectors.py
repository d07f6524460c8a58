"""Artefacts as the gate runs them on this machine's CPU: ONNX Runtime, OpenVINO, Paddle Inference."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.errors import ExportError
from export.paddle.inference_model import CutModel, PaddleRunner, to_image
from export.paddle.lazy_imports import import_openvino
from export.precision import Precision
from export.verification.reference import Detector, Raw
from sod.interface import BOXES, PIXELS, SCORES


def onnx_detector(path: Path) -> Detector:
    """The detector in ONNX Runtime. It has no FP16 kernels for the CPU: it computes in FP32, rounding every result.

    Raises:
        ExportError: it cannot be loaded, or later, run.
    """
    import onnxruntime  # noqa: PLC0415  (not in the Triton image)

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Batches of several sizes and one that is not used again: an arena would keep the largest of all.
    options.enable_cpu_mem_arena = False
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    # ONNX Runtime's exceptions have no public base class.
    except Exception as error:
        raise ExportError(f"ONNX Runtime cannot load the detector: {first_line(error)}") from error

    def run(pixels: NDArray[np.uint8]) -> Raw:
        try:
            boxes, scores = session.run([BOXES, SCORES], {PIXELS: pixels})
        except Exception as error:
            said = first_line(error)
            raise ExportError(f"ONNX Runtime cannot run the detector on a batch of {len(pixels)}: {said}") from error
        return boxes, scores

    return run


def openvino_detector(path: Path, precision: Precision) -> Detector:
    """The detector in OpenVINO, one image at a time, as the profiles cpu_* serve it.

    Raises:
        ExportError: OpenVINO cannot compile it.
    """
    ov = import_openvino()

    # What INT8 leaves floating-point is BF16 too, in both only where the CPU has it.
    hint = ov.Type.bf16 if precision is not Precision.FP32 and has_bf16() else ov.Type.f32
    core = ov.Core()
    try:
        model = core.read_model(path)
        model.reshape({PIXELS: [1, *list(model.input(PIXELS).partial_shape)[1:]]})
        compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint})
    except RuntimeError as error:
        raise ExportError(f"OpenVINO cannot compile {path.name}: {first_line(error)}") from error

    def run(pixels: NDArray[np.uint8]) -> Raw:
        answers = [compiled({PIXELS: image[None]}) for image in pixels]
        boxes, scores = ([answer[name].copy() for answer in answers] for name in (BOXES, SCORES))
        return np.concatenate(boxes), np.concatenate(scores)

    return run


def cut_detector(cut: CutModel, *, onednn: bool = False) -> Detector:
    """The cut model in Paddle Inference, boxes in pixels of the input."""
    runner = PaddleRunner(cut.program, cut.params, onednn=onednn)

    def run(pixels: NDArray[np.uint8]) -> Raw:
        boxes, scores = runner(to_image(pixels), np.ones((len(pixels), 2), np.float32))
        return boxes, scores

    return run


def has_bf16() -> bool:
    """Whether this CPU computes in BF16 itself (AVX512-BF16 or AMX); elsewhere FP32 is served."""
    ov = import_openvino()
    return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def first_line(error: Exception) -> str:
    """The first line that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
