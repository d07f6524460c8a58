"""Exports that start from what lies in the model repository already: no Paddle is needed, or loaded."""

import logging
import tempfile
from pathlib import Path

from export.errors import CheckFailedError, ExportError
from export.outcome import Outcome, Request
from export.precision import Precision
from export.step_timer import Meter
from export.tensorrt.compile_check import check_compiles
from export.tensorrt.plan import build_plan, import_tensorrt, read_max_batch
from export.tensorrt.plan_runner import plan_detector
from export.triton.artefacts import put_in_place
from export.verification.accuracy_check import measure, require
from export.verification.reference import load_reference

LOG = logging.getLogger(__name__)
HALF, PLAN = "model_fp16.onnx", "model.plan"


def export_plan(name: str, request: Request) -> Outcome:
    """Build `model.plan` from `model_fp16.onnx` and hold it to the reference, inside the Triton image.

    Raises:
        ExportError: no TensorRT, no GPU, no FP16 detector or no reference of it; nothing was written.
    """
    trt = import_tensorrt()
    detector_dir = request.output_dir / f"{name}_detector"
    half = detector_dir / "1" / HALF
    if not half.is_file():
        raise ExportError(f"{half} is absent: make export TARGET=onnx PRECISION=fp16 makes it")
    reference = load_reference(request.reference_path(name), half)
    meter = Meter()
    outcome = Outcome(name, steps=meter.steps)
    with tempfile.TemporaryDirectory(prefix="triton-sod-export-") as work:
        plan = Path(work) / PLAN
        try:
            with meter.step(f"building {PLAN} with TensorRT {trt.__version__}"):
                build_plan(trt, half, plan, read_max_batch(detector_dir), request.cache_dir)
            with meter.step(f"comparing {PLAN} with {reference.made_by}"):
                limits = request.limits[Precision.FP16]
                outcome.measured.append(measure(f"{PLAN} in TensorRT", plan_detector(trt, plan), reference, limits))
            require(outcome.measured)
        except CheckFailedError as error:
            outcome.failures.append(str(error))
        else:
            outcome.written.extend(put_in_place({PLAN: plan}, detector_dir / "1"))
    return outcome


def check_installed(name: str, request: Request) -> Outcome:
    """Ask TensorRT's compiler about a detector of the repository: its FP16 file, else one made from `model.onnx`.

    Raises:
        ExportError: there is neither, or no compiler.
    """
    detector_dir = request.output_dir / f"{name}_detector"
    half, whole = detector_dir / "1" / HALF, detector_dir / "1" / "model.onnx"
    meter = Meter()
    outcome = Outcome(name, steps=meter.steps)
    with tempfile.TemporaryDirectory(prefix="triton-sod-export-") as work:
        if not half.is_file():
            if not whole.is_file():
                raise ExportError(f"{detector_dir / '1'} has neither {HALF} nor model.onnx: export the model first")
            with meter.step("converting model.onnx to FP16"):
                half = Path(work) / HALF
                from export.onnx.fp16 import make_fp16  # noqa: PLC0415  (ONNX is not in the Triton image)

                make_fp16(whole, half)
        compile_for(half, request, read_max_batch(detector_dir), meter, outcome)
    return outcome


def compile_for(path: Path, request: Request, max_batch: int, meter: Meter, outcome: Outcome) -> None:
    """Compile one file for the GPUs asked for; a refusal goes to the failures."""
    for capability in request.capabilities:
        with meter.step(f"compiling {path.name} for {capability}"):
            try:
                outcome.compiled.append(check_compiles(path, capability, max_batch))
            except CheckFailedError as error:
                outcome.failures.append(str(error))
