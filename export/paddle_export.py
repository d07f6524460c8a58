"""The export of a Paddle model: every artefact is made in a work folder, checked, and only then installed."""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export import isolated_process
from export.errors import CheckFailedError, ChildCrashedError, ExportError
from export.files import sha256
from export.onnx.detector_graph import OPSET, make_detector
from export.onnx.fp16 import make_fp16
from export.onnx.paddle2onnx_conversion import convert
from export.onnx.runtime import onnx_detector
from export.openvino.int8 import MAX_IMAGES, MAX_LARGE_IMAGES, quantise
from export.openvino.runtime import has_bf16, openvino_detector
from export.paddle import parity_check
from export.paddle.inference_model import PaddleModel, PreNmsModel, remove_nms
from export.precision import LIMITS, Limits, Precision, Target
from export.request import ExportRequest, ExportResult
from export.serving_options import DEFAULT_OPTIONS, ServingOptions
from export.step_timer import StepTimer
from export.tensorrt_export import FP16_MODEL, FP32_MODEL, compile_for
from export.triton.install import install_files
from export.triton.model_spec import ModelSpec
from export.triton.repository import PendingFiles, pending_files, stale_files
from export.verification import accuracy_check
from export.verification.images import MIN_CALIBRATION, CalibrationPixels, sample_evenly, too_few_for_int8
from export.verification.reference import Reference, run_in_batches

LOG = logging.getLogger(__name__)


def export_model(
    model: PaddleModel,
    request: ExportRequest,
    images: Sequence[NDArray[np.uint8]],
    calibration: Sequence[Path] = (),
) -> ExportResult:
    """Make the requested artefacts, and install those that pass in `<output_dir>/<model name>_detector/1/`.

    Args:
        model: of `find_model`.
        request: what to make and where.
        images: for the accuracy check, uint8 BGR [h, w, 3], at least one.
        calibration: image files for INT8.

    Returns:
        The result; an artefact that failed its check is among the failures or left out, and was not installed.

    Raises:
        ExportError: the text says why; nothing was written.
        CheckFailedError: the FP32 detector, from which all others are made, failed; nothing was written.
    """
    config = model.config
    LOG.info("%s: %d x %d, %d classes", config.model_name, config.width, config.height, len(config.labels))
    int8 = any(request.includes(target, Precision.INT8) for target in (Target.OPENVINO, Target.EDGE))
    if request.precisions and int8 and len(calibration) < MIN_CALIBRATION:
        raise ExportError(too_few_for_int8(len(calibration)))
    with tempfile.TemporaryDirectory(prefix="triton-sod-export-") as work:
        export = _PaddleExport(model, request, Path(work))
        export.make_fp32(images)
        export.make_fp16()
        export.check_openvino()
        export.make_int8(calibration)
        export.check_tensorrt()
        export.make_edge(calibration)
        export.sort_failures()
        export.install()
        return export.result


def export_detector(  # noqa: PLR0913 - options, all by name
    model: PaddleModel,
    output_dir: Path,
    images: Sequence[NDArray[np.uint8]],
    *,
    with_paddle: bool = True,
    limits: Limits = LIMITS[Precision.FP32],
    options: ServingOptions = DEFAULT_OPTIONS,
) -> list[Path]:
    """Make and install only the FP32 detector: `export_model` with the target onnx and the precision fp32.

    Args:
        model: of `find_model`.
        output_dir: a Triton model repository.
        images: for the accuracy check, uint8 BGR [h, w, 3], at least one.
        with_paddle: see `ExportRequest`.
        limits: of FP32.
        options: see `ExportRequest`.

    Returns:
        The files written.

    Raises:
        ExportError: the text says why; nothing was written.
        CheckFailedError: the detector differs from Paddle Inference; nothing was written.
    """
    request = ExportRequest(
        output_dir,
        precisions=[Precision.FP32],
        with_paddle=with_paddle,
        limits={**LIMITS, Precision.FP32: limits},
        options=options,
    )
    return export_model(model, request, images).installed


class _PaddleExport:
    """One export: the work folder, the artefacts that passed, and the result."""

    def __init__(self, model: PaddleModel, request: ExportRequest, work: Path) -> None:
        self.model, self.request, self.work = model, request, work
        self.timer = StepTimer()
        self.result = ExportResult(model.config.model_name, steps=self.timer.steps)
        self.fp32_path, self.fp16_path, self.int8_path = (
            work / name for name in (FP32_MODEL, FP16_MODEL, "model_int8.xml")
        )
        self.passed: dict[str, Path] = {}
        self.standing: set[Target] = set()  # targets of which an artefact passed
        self.failed: list[tuple[Target, str]] = []
        self.reference: Reference
        self.pre_nms: PreNmsModel
        self.spec: ModelSpec
        self.configuration: PendingFiles

    def make_fp32(self, images: Sequence[NDArray[np.uint8]]) -> None:
        """Convert Paddle to FP32 ONNX, and compare it with Paddle Inference in every respect."""
        limits = self.request.limits[Precision.FP32]
        with self.timer.step("removing the NMS from the Paddle model"):
            self.pre_nms = self._remove_nms()
        self.spec = self._spec()
        # Early: a name or a configuration that is not possible must fail before the conversion.
        self.configuration = pending_files(self.spec, self.request.output_dir)
        with self.timer.step(f"converting to ONNX, opset {OPSET}"):
            converted = self.work / "converted.onnx"
            convert(self.pre_nms, converted, OPSET)
            isolated_process.call(make_detector, converted, self.pre_nms, self.fp32_path)
            converted.unlink()
        with self.timer.step("running the reference, Paddle Inference (CPU, FP32)"):
            self.reference = parity_check.paddle_reference(self.pre_nms, images)
        with self.timer.step("comparing the FP32 detector in ONNX Runtime, batched"):
            detector = onnx_detector(self.fp32_path)
            outputs = run_in_batches(detector, self.reference.pixels, 1)
            differences = parity_check.compare_with_paddle(detector, outputs, self.pre_nms, self.reference, limits)
        LOG.info("%s", parity_check.parity_table(differences, limits).text())
        parity_check.require_parity(differences, limits)
        accuracy = accuracy_check.compare_outputs(
            f"{FP32_MODEL} in ONNX Runtime", self.reference.outputs, outputs, limits
        )
        files = {FP32_MODEL: self.fp32_path}
        if self.request.with_paddle:
            files |= {"inference.json": self.pre_nms.program, "inference.pdiparams": self.pre_nms.params}
        accuracy_check.require_passed([accuracy])
        if self.request.includes(Target.ONNX, Precision.FP32):
            self._record(accuracy, Target.ONNX, files)
        else:
            self.result.accuracy.append(accuracy)

    def _remove_nms(self) -> PreNmsModel:
        try:
            return isolated_process.call(remove_nms, self.model, self.work)
        except ChildCrashedError as error:
            raise ExportError(
                f"Paddle cannot load {self.model.program}: it crashed with {error.cause}; the files are damaged or "
                "contain an operator that this Paddle does not know"
            ) from error

    def _spec(self) -> ModelSpec:
        config, options = self.model.config, self.request.options
        if options.default_threshold is None:
            options = replace(options, default_threshold=config.draw_threshold)
        return ModelSpec(
            name=config.model_name,
            labels=config.labels,
            height=config.height,
            width=config.width,
            anchors=self.pre_nms.anchors,
            nms=self.pre_nms.nms,
            paddle=self.request.with_paddle,
            options=options,
        )

    def make_fp16(self) -> None:
        """Convert FP32 ONNX to FP16 ONNX, and check it in ONNX Runtime, which rounds every result to FP16."""
        if not any(self.request.includes(target, Precision.FP16) for target in (Target.ONNX, Target.TENSORRT_CHECK)):
            return
        with self.timer.step("converting to FP16"):
            isolated_process.call(make_fp16, self.fp32_path, self.fp16_path)
        with self.timer.step("comparing the FP16 detector in ONNX Runtime"):
            accuracy = accuracy_check.check_accuracy(
                f"{FP16_MODEL} in ONNX Runtime",
                onnx_detector(self.fp16_path),
                self.reference,
                self.request.limits[Precision.FP16],
            )
        if self.request.includes(Target.ONNX, Precision.FP16):
            self._record(accuracy, Target.ONNX, {FP16_MODEL: self.fp16_path})
        else:
            self._record(accuracy, Target.TENSORRT_CHECK, {}, stands=False)

    def check_openvino(self) -> None:
        """Check the FP32 model in OpenVINO, in FP32 and BF16: the profiles cpu_high_performance and cpu_bf16."""
        for precision in (Precision.FP32, Precision.BF16):
            if not self.request.includes(Target.OPENVINO, precision):
                continue
            if precision is Precision.BF16 and not has_bf16():
                self._skip("openvino bf16: this CPU has neither AVX512-BF16 nor AMX, so it serves FP32")
                continue
            with self.timer.step(f"comparing {FP32_MODEL} in OpenVINO, {precision}"):
                accuracy = accuracy_check.check_accuracy(
                    f"{FP32_MODEL} in OpenVINO, {precision}",
                    openvino_detector(self.fp32_path, precision),
                    self.reference,
                    self.request.limits[precision],
                )
            # BF16 has no file of its own: if it fails, the FP32 file stays.
            if precision is Precision.BF16:
                consequence = "should not be served in BF16 (profile cpu_bf16)"
                self._record(accuracy, Target.OPENVINO, {}, consequence)
            else:
                self._record(accuracy, Target.OPENVINO, {FP32_MODEL: self.fp32_path})

    def make_int8(self, images: Sequence[Path]) -> None:
        """Quantise FP32 ONNX to INT8 for OpenVINO: the profile cpu_int8."""
        if not self.request.includes(Target.OPENVINO, Precision.INT8):
            return
        if len(images) < MIN_CALIBRATION:
            self._skip(f"openvino int8: {too_few_for_int8(len(images))}")
            return
        config = self.model.config
        largest = MAX_LARGE_IMAGES if parity_check.has_large_input(config) else MAX_IMAGES
        chosen = sample_evenly(images, largest)
        with self.timer.step(f"quantising to INT8 on {len(chosen)} images"):
            pixels = CalibrationPixels(chosen, (config.height, config.width))
            limits = self.request.limits[Precision.INT8]
            accuracy = quantise(self.fp32_path, pixels, self.reference, limits, self.int8_path)
        weights = self.int8_path.with_suffix(".bin")
        self._record(accuracy, Target.OPENVINO, {self.int8_path.name: self.int8_path, weights.name: weights})

    def check_tensorrt(self) -> None:
        """Compile the FP16 detector with TensorRT's compiler."""
        if not self.request.includes(Target.TENSORRT_CHECK, Precision.FP16):
            return
        compile_for(self.fp16_path, self.request, self.spec.batch_size, self.timer, self.result)

    def make_edge(self, calibration: Sequence[Path]) -> None:
        """Make the models for phones and browsers; their folders are not in the repository."""
        if Target.EDGE in self.request.targets:
            # Imported here: ONNX Runtime's quantisation takes 0.14 s, and no other target needs it.
            from export.edge.edge_export import EdgeSource, export_edge  # noqa: PLC0415

            source = EdgeSource(self.result.name, self.fp32_path, self.pre_nms.nms, self.reference)
            export_edge(source, self.request, calibration, self.timer, self.result)

    def install(self) -> None:
        """Install everything that passed, or nothing, and keep the reference for the TensorRT plan."""
        if FP16_MODEL in self.passed:
            # First: if the cache cannot be written to, nothing may be installed yet.
            self.reference.save(self.request.reference_path(self.result.name), {FP16_MODEL: self.fp16_path})
        if self.passed:
            output_dir = self.request.output_dir
            same_weights = self._has_these_weights(output_dir / self.spec.detector / "1")
            self.result.installed.extend(install_files(self.passed, output_dir / self.spec.detector / "1"))
            if FP32_MODEL in self.passed and not same_weights:
                for path in stale_files(self.spec, output_dir, self.result.installed):
                    LOG.warning("%s is from an earlier export with other weights: export it again or delete it", path)
            self.result.installed.extend(self.configuration.write())

    def _has_these_weights(self, version: Path) -> bool:
        """Whether an earlier export of the same weights has installed the files in a version folder."""
        pairs = ((version / FP32_MODEL, self.fp32_path), (version / "inference.pdiparams", self.pre_nms.params))
        return any(old.is_file() and sha256(old) == sha256(new) for old, new in pairs)

    def sort_failures(self) -> None:
        """Sort what failed: beside a sound artefact of the same target it is left out, else the target failed."""
        about = ""
        if self.request.made_up_image:
            about = "; measured on one made-up image only: give --images, images like those of the cameras"
        for target, text in self.failed:
            kind = self.result.left_out if target in self.standing else self.result.failures
            kind.append(f"{text}{about}")

    def _record(
        self,
        accuracy: accuracy_check.AccuracyResult,
        target: Target,
        files: Mapping[str, Path],
        consequence: str = "was deleted",
        *,
        stands: bool = True,
    ) -> None:
        """Record the check of an artefact; its files will be installed if it passed, and its target then `stands`."""
        self.result.accuracy.append(accuracy)
        try:
            accuracy_check.require_passed([accuracy], consequence)
        except CheckFailedError as error:
            self.failed.append((target, str(error)))
            return  # the files are deleted with the work folder
        self.passed |= files
        if stands:
            self.standing.add(target)

    def _skip(self, reason: str) -> None:
        LOG.info("skipped: %s", reason)
        self.result.skipped.append(reason)
