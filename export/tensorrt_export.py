"""The export of an installed FP16 detector to TensorRT: needs no Paddle, and runs inside the Triton image."""

import tempfile
from pathlib import Path

from export.errors import CheckFailedError, ExportError
from export.precision import Precision
from export.request import ExportRequest, ExportResult
from export.step_timer import StepTimer
from export.tensorrt.compile_check import check_compiles
from export.tensorrt.plan import build_plan, import_tensorrt, read_max_batch
from export.tensorrt.plan_runner import plan_detector
from export.triton.install import install_files
from export.verification.accuracy_check import check_accuracy, require_passed
from export.verification.reference import load_reference

FP32_MODEL, FP16_MODEL, PLAN = "model.onnx", "model_fp16.onnx", "model.plan"


def export_plan(name: str, request: ExportRequest) -> ExportResult:
    """Build `model.plan` from `model_fp16.onnx`, and install it if it passes the accuracy check.

    Args:
        name: a model of the repository.
        request: where it is, and the limits.

    Raises:
        ExportError: TensorRT, a GPU, the FP16 detector or its reference is missing; nothing was written.
    """
    trt = import_tensorrt()
    detector_dir = request.output_dir / f"{name}_detector"
    fp16_path = detector_dir / "1" / FP16_MODEL
    if not fp16_path.is_file():
        raise ExportError(f"{fp16_path} is missing: run `make export TARGET=onnx PRECISION=fp16` first")
    reference = load_reference(request.reference_path(name), fp16_path)
    timer = StepTimer()
    result = ExportResult(name, steps=timer.steps)
    with tempfile.TemporaryDirectory(prefix="triton-sod-export-") as work:
        plan = Path(work) / PLAN
        try:
            with timer.step(f"building {PLAN} with TensorRT {trt.__version__}"):
                build_plan(trt, fp16_path, plan, read_max_batch(detector_dir), request.cache_dir)
            with timer.step(f"comparing {PLAN} with {reference.made_by}"):
                limits = request.limits[Precision.FP16]
                detector = plan_detector(trt, plan)
                result.accuracy.append(check_accuracy(f"{PLAN} in TensorRT", detector, reference, limits))
            require_passed(result.accuracy)
        except CheckFailedError as error:
            result.failures.append(str(error))
        else:
            result.installed.extend(install_files({PLAN: plan}, detector_dir / "1"))
    return result


def check_installed(name: str, request: ExportRequest) -> ExportResult:
    """Compile an installed detector with TensorRT's compiler: `model_fp16.onnx`, else `model.onnx` converted to FP16.

    Args:
        name: a model of the repository.
        request: where it is, and the GPUs to compile for.

    Raises:
        ExportError: both files or the compiler are missing.
    """
    detector_dir = request.output_dir / f"{name}_detector"
    fp16_path, fp32_path = detector_dir / "1" / FP16_MODEL, detector_dir / "1" / FP32_MODEL
    timer = StepTimer()
    result = ExportResult(name, steps=timer.steps)
    with tempfile.TemporaryDirectory(prefix="triton-sod-export-") as work:
        if not fp16_path.is_file():
            if not fp32_path.is_file():
                raise ExportError(
                    f"{detector_dir / '1'} has neither {FP16_MODEL} nor {FP32_MODEL}: export the model first"
                )
            with timer.step(f"converting {FP32_MODEL} to FP16"):
                fp16_path = Path(work) / FP16_MODEL
                from export.onnx.fp16 import make_fp16  # noqa: PLC0415  (ONNX is not in the Triton image)

                make_fp16(fp32_path, fp16_path)
        compile_for(fp16_path, request, read_max_batch(detector_dir), timer, result)
    return result


def compile_for(path: Path, request: ExportRequest, max_batch: int, timer: StepTimer, result: ExportResult) -> None:
    """Compile one FP16 detector for the requested GPUs, and record reports and failures in `result`."""
    for capability in request.capabilities:
        with timer.step(f"compiling {path.name} for {capability}"):
            try:
                result.compiled.append(check_compiles(path, capability, max_batch))
            except CheckFailedError as error:
                result.failures.append(str(error))
