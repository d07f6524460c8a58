"""The export, step by step: every artefact is made in a work folder, held to its limits, and only then installed."""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export import isolated_process
from export.errors import CheckFailedError, ChildCrashedError, ExportError
from export.installed import compile_for
from export.onnx.conversion import convert
from export.onnx.detector_graph import OPSET, make_detector
from export.onnx.fp16 import make_fp16
from export.openvino.int8 import MAX_IMAGES, MAX_LARGE_IMAGES, quantise
from export.outcome import Outcome, Request
from export.paddle.inference_model import CutModel, PaddleModel, cut_model
from export.precision import LIMITS, Limits, Precision, Target
from export.step_timer import Meter
from export.triton.artefacts import put_in_place
from export.triton.repository import Plan, plan_model, stale_files
from export.triton.templates import DEFAULT_OPTIONS, ModelSpec, ServingOptions
from export.verification import accuracy_check, paddle_parity
from export.verification.detectors import has_bf16, onnx_detector, openvino_detector
from export.verification.images import MIN_CALIBRATION, CalibrationPixels, spread
from export.verification.reference import Reference, in_batches

LOG = logging.getLogger(__name__)


def export_model(
    model: PaddleModel,
    request: Request,
    images: Sequence[NDArray[np.uint8]],
    calibration: Sequence[Path] = (),
) -> Outcome:
    """Make what is asked for, and install in `<output_dir>/<model name>_detector/1/` what passes.

    Args:
        model: of `find_model`.
        request: what to make and where.
        images: to compare on, uint8 BGR [h, w, 3], at least one.
        calibration: image files for INT8.

    Returns:
        What was written, measured, left out, and what failed its limits: an artefact that did was not installed.

    Raises:
        ExportError: see its text; nothing was written.
        CheckFailedError: the FP32 detector, from which all is made, fails; nothing was written.
    """
    config = model.config
    LOG.info("%s: %d x %d, %d classes", config.model_name, config.width, config.height, len(config.labels))
    if request.precisions and request.wants(Target.OPENVINO, Precision.INT8) and len(calibration) < MIN_CALIBRATION:
        raise ExportError(_too_few(len(calibration)))
    with tempfile.TemporaryDirectory(prefix="triton-sod-export-") as work:
        run = _Export(model, request, Path(work))
        run.convert(images)
        run.fp16()
        run.openvino()
        run.int8(calibration)
        run.compile_check()
        run.install()
        return run.outcome


def export_detector(  # noqa: PLR0913 - options, all by name
    model: PaddleModel,
    output_dir: Path,
    images: Sequence[NDArray[np.uint8]],
    *,
    with_paddle: bool = True,
    limits: Limits = LIMITS[Precision.FP32],
    options: ServingOptions = DEFAULT_OPTIONS,
) -> list[Path]:
    """Make and install the FP32 detector alone: `export_model` with TARGET=onnx, PRECISION=fp32.

    Returns:
        The files written.

    Raises:
        ExportError: see its text; nothing was written.
        CheckFailedError: the detector does not do what Paddle Inference does; nothing was written.
    """
    request = Request(
        output_dir,
        precisions=[Precision.FP32],
        with_paddle=with_paddle,
        limits={**LIMITS, Precision.FP32: limits},
        options=options,
    )
    return export_model(model, request, images).written


def _too_few(count: int) -> str:
    return (
        f"INT8 is calibrated on images, and {count} are too few: give --images a folder of at least "
        f"{MIN_CALIBRATION}, better 100, of what the cameras see"
    )


class _Export:
    """One run: the work folder, what was made in it and passed, what is said of it."""

    def __init__(self, model: PaddleModel, request: Request, work: Path) -> None:
        self.model, self.request, self.work = model, request, work
        self.meter = Meter()
        self.outcome = Outcome(model.config.model_name, steps=self.meter.steps)
        self.onnx, self.half, self.int8_path = (
            work / name for name in ("model.onnx", "model_fp16.onnx", "model_int8.xml")
        )
        self.passed: dict[str, Path] = {}
        self.reference: Reference
        self.cut: CutModel
        self.spec: ModelSpec
        self.configuration: Plan

    def convert(self, images: Sequence[NDArray[np.uint8]]) -> None:
        """Paddle → FP32 ONNX, and the whole check of it."""
        limits = self.request.limits[Precision.FP32]
        with self.meter.step("cutting the model before its NMS"):
            self.cut = self._cut()
        self.spec = ModelSpec.of(self.cut, self.request.options, paddle=self.request.with_paddle)
        # Now, for a name or a configuration that cannot be is better known before the work than after.
        self.configuration = plan_model(self.spec, self.request.output_dir)
        with self.meter.step(f"converting to ONNX, opset {OPSET}"):
            converted = self.work / "converted.onnx"
            convert(self.cut, converted, OPSET)
            isolated_process.call(make_detector, converted, self.cut, self.onnx)
            converted.unlink()
        with self.meter.step("running the reference, Paddle Inference (CPU, FP32)"):
            self.reference = paddle_parity.paddle_reference(self.cut, images)
        with self.meter.step("comparing the FP32 detector in ONNX Runtime, batched"):
            detector = onnx_detector(self.onnx)
            answers = in_batches(detector, self.reference.pixels, 1)
            report = paddle_parity.check_detector(detector, answers, self.cut, self.reference, limits)
        LOG.info("%s", paddle_parity.format_report(report, limits))
        paddle_parity.require(report, limits)
        measured = accuracy_check.compare_raw("model.onnx in ONNX Runtime", self.reference.raw, answers, limits)
        files = {"model.onnx": self.onnx}
        if self.request.with_paddle:
            files |= {"inference.json": self.cut.program, "inference.pdiparams": self.cut.params}
        accuracy_check.require([measured])
        wanted = self.request.wants(Target.ONNX, Precision.FP32)
        self._judge(measured, files if wanted else {})

    def _cut(self) -> CutModel:
        try:
            return isolated_process.call(cut_model, self.model, self.work)
        except ChildCrashedError as error:
            raise ExportError(
                f"Paddle cannot load {self.model.program}: it died with {error.how}, as it does where a file is "
                "damaged or holds an operator that it does not know"
            ) from error

    def fp16(self) -> None:
        """FP32 ONNX → FP16 ONNX, run with every result rounded."""
        if not any(self.request.wants(target, Precision.FP16) for target in (Target.ONNX, Target.TENSORRT_CHECK)):
            return
        with self.meter.step("converting to FP16"):
            isolated_process.call(make_fp16, self.onnx, self.half)
        with self.meter.step("comparing the FP16 detector in ONNX Runtime"):
            measured = accuracy_check.measure(
                "model_fp16.onnx in ONNX Runtime",
                onnx_detector(self.half),
                self.reference,
                self.request.limits[Precision.FP16],
            )
        wanted = self.request.wants(Target.ONNX, Precision.FP16)
        self._judge(measured, {self.half.name: self.half} if wanted else {})

    def openvino(self) -> None:
        """The FP32 file as OpenVINO computes it: the profiles cpu_high_performance and cpu_bf16."""
        for precision in (Precision.FP32, Precision.BF16):
            if not self.request.wants(Target.OPENVINO, precision):
                continue
            if precision is Precision.BF16 and not has_bf16():
                self._skip("openvino bf16: this CPU has neither AVX512-BF16 nor AMX, so FP32 is served")
                continue
            with self.meter.step(f"comparing model.onnx in OpenVINO, {precision}"):
                measured = accuracy_check.measure(
                    f"model.onnx in OpenVINO, {precision}",
                    openvino_detector(self.onnx, precision),
                    self.reference,
                    self.request.limits[precision],
                )
            # BF16 is a way to run the FP32 file: it does not stand or fall with it.
            if precision is Precision.BF16:
                self._judge(measured, {}, "should not be served so (profile cpu_bf16)")
            else:
                self._judge(measured, {"model.onnx": self.onnx})

    def int8(self, images: Sequence[Path]) -> None:
        """FP32 ONNX → INT8 for OpenVINO: the profile cpu_int8."""
        if not self.request.wants(Target.OPENVINO, Precision.INT8):
            return
        if len(images) < MIN_CALIBRATION:
            self._skip(f"openvino int8: {_too_few(len(images))}")
            return
        config = self.model.config
        chosen = spread(images, MAX_LARGE_IMAGES if paddle_parity.is_large(config) else MAX_IMAGES)
        with self.meter.step(f"quantising to INT8 on {len(chosen)} images"):
            pixels = CalibrationPixels(chosen, (config.height, config.width))
            limits = self.request.limits[Precision.INT8]
            measured = quantise(self.onnx, pixels, self.reference, limits, self.int8_path)
        weights = self.int8_path.with_suffix(".bin")
        self._judge(measured, {self.int8_path.name: self.int8_path, weights.name: weights})

    def compile_check(self) -> None:
        """The FP16 detector in TensorRT's compiler."""
        if not self.request.wants(Target.TENSORRT_CHECK, Precision.FP16):
            return
        compile_for(self.half, self.request, self.spec.batch_size, self.meter, self.outcome)

    def install(self) -> None:
        """Put what passed in place, all of it or nothing, and keep the reference for the plan."""
        if self.half.name in self.passed:
            # First, for what cannot be written here must not fail an export that was installed.
            self.reference.save(self.request.reference_path(self.outcome.name), {self.half.name: self.half})
        if self.passed:
            output_dir = self.request.output_dir
            self.outcome.written.extend(put_in_place(self.passed, output_dir / self.spec.detector / "1"))
            if self.onnx.name in self.passed:
                for path in stale_files(self.spec, output_dir, self.outcome.written):
                    LOG.warning("%s was there before, and is not of this export: make it anew or remove it", path)
            self.outcome.written.extend(self.configuration.write())

    def _judge(
        self, measured: accuracy_check.Measured, files: Mapping[str, Path], consequence: str = "was deleted"
    ) -> None:
        self.outcome.measured.append(measured)
        try:
            accuracy_check.require([measured], consequence)
        except CheckFailedError as error:
            self.outcome.failures.append(str(error))
            return  # the file goes with the work folder
        self.passed |= files

    def _skip(self, why: str) -> None:
        LOG.info("left out: %s", why)
        self.outcome.skipped.append(why)
