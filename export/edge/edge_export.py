"""The export for phones and browsers: from the FP32 detector to a folder with the model, its labels and the web app."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from export import isolated_process
from export.edge.comparison import compare_objects
from export.edge.graph import make_edge
from export.edge.int8 import MAX_IMAGES, quantise_edge
from export.edge.runtime import edge_detector, save_ort
from export.edge.web_app import find_web_app
from export.errors import CheckFailedError, ExportError
from export.onnx.detector_graph import read_metadata
from export.onnx.fp16 import make_fp16
from export.onnx.runtime import onnx_detector
from export.precision import Limits, Precision, Target
from export.request import ExportRequest, ExportResult
from export.step_timer import StepTimer
from export.triton.install import install_files
from export.triton.installed_models import find_installed
from export.triton.repository import read_config
from export.verification.accuracy_check import AccuracyResult, check_accuracy, require_passed
from export.verification.images import MIN_CALIBRATION, CalibrationPixels, sample_evenly, too_few_for_int8
from export.verification.reference import Reference, run_in_batches
from sod.image import to_pixels
from sod.nms import NmsConfig

ONNX_FILE, ORT_FILE, LABELS_FILE = "model.onnx", "model.ort", "labels.json"
FP32_DETECTOR = "model.onnx"


@dataclass(frozen=True, slots=True)
class EdgeSource:
    """What an edge model is made from.

    Attributes:
        name: of the model.
        detector: the FP32 detector, an ONNX file that passed its accuracy check.
        nms: its NMS.
        reference: what every precision is compared with.
    """

    name: str
    detector: Path
    nms: NmsConfig
    reference: Reference


def export_installed(
    name: str, request: ExportRequest, images: Sequence[NDArray[np.uint8]], calibration: Sequence[Path]
) -> ExportResult:
    """Make the edge model of an installed detector; it is compared with that detector, which passed against Paddle.

    Args:
        name: a model of the repository.
        request: where it is, the precisions, and where the folder goes.
        images: for the accuracy check, uint8 BGR [h, w, 3], at least one.
        calibration: image files for INT8.

    Raises:
        ExportError: the model is not installed, or the edge model cannot be made; nothing was written.
    """
    detector = request.output_dir / f"{name}_detector" / "1" / FP32_DETECTOR
    if not detector.is_file():
        raise ExportError(f"{detector} is missing: export the model with the target onnx first")
    nms = _installed_nms(request.output_dir, name)
    timer = StepTimer()
    result = ExportResult(name, steps=timer.steps)
    with timer.step(f"running the reference, {detector.name} in ONNX Runtime"):
        session = onnx_detector(detector)
        properties = read_metadata(onnx.load(detector, load_external_data=False))
        try:
            size = int(properties["input_height"]), int(properties["input_width"])
        except (KeyError, ValueError):
            raise ExportError(f"{detector} was not made by this export: export the model again") from None
        pixels = np.stack([to_pixels(image, size) for image in images])
        reference = Reference(pixels, *run_in_batches(session, pixels, 1), "the FP32 detector in ONNX Runtime")
    export_edge(EdgeSource(name, detector, nms, reference), request, calibration, timer, result)
    return result


def export_edge(
    source: EdgeSource, request: ExportRequest, calibration: Sequence[Path], timer: StepTimer, result: ExportResult
) -> None:
    """Make each requested precision, and write the folder of each that passes its checks.

    Files, checks, failures and what was skipped are recorded in `result`.

    Raises:
        ExportError: something cannot be made; folders that were written stay.
    """
    app = find_web_app() if request.web_app else None
    if isinstance(app, str):
        result.skipped.append(f"the web app: {app}")
        app = None
    for precision in Precision:
        if not request.includes(Target.EDGE, precision):
            continue
        with tempfile.TemporaryDirectory(prefix="triton-sod-edge-") as work:
            export = _EdgeExport(source, precision, timer, result, Path(work))
            try:
                files = export.make(request.limits[precision], calibration)
            except CheckFailedError as error:
                result.failures.append(f"edge {precision}: {error}")
                continue
            folder = request.edge_folder(source.name, precision)
            result.installed.extend(install_files(files, folder) if app is None else app.install(files, folder))


@dataclass(frozen=True, slots=True)
class _EdgeExport:
    """One precision's files, in a work folder."""

    source: EdgeSource
    precision: Precision
    timer: StepTimer
    result: ExportResult
    work: Path

    def make(self, limits: Limits, calibration: Sequence[Path]) -> dict[str, Path]:
        """Make and check them; name → path."""
        reference, nms = self.source.reference, self.source.nms
        with self.timer.step(f"making the {self.precision} detector of the edge model"):
            detector = self._detector(limits, calibration)
        onnx_path, ort_path, labels = (self.work / name for name in (ONNX_FILE, ORT_FILE, LABELS_FILE))
        with self.timer.step("adding the resize and the NMS, and saving in ONNX Runtime's format"):
            isolated_process.call(make_edge, detector, nms, self.precision.value, onnx_path)
            int8 = self.precision is Precision.INT8
            isolated_process.call(save_ort, onnx_path, ort_path, int8=int8)
            labels.write_text(self._labels(onnx_path), encoding="utf-8")
        with self.timer.step("comparing the edge model's objects with the server's NMS"):
            outputs = reference.outputs
            if self.precision is not Precision.FP32:
                outputs = run_in_batches(onnx_detector(detector), reference.pixels, 1)
            for path in (onnx_path, ort_path):
                name = f"edge {path.name} {self.precision} in ONNX Runtime, after NMS"
                self._require(compare_objects(name, edge_detector(path), reference, outputs, nms, int8=int8))
        return {path.name: path for path in (onnx_path, ort_path, labels)}

    def _detector(self, limits: Limits, calibration: Sequence[Path]) -> Path:
        """The detector in this precision, checked; that of FP32 has been."""
        source = self.source
        if self.precision is Precision.FP32:
            return source.detector
        path = self.work / f"detector_{self.precision}.onnx"
        if self.precision is Precision.FP16:
            isolated_process.call(make_fp16, source.detector, path)
            name = "edge fp16 detector in ONNX Runtime"
            self._require(check_accuracy(name, onnx_detector(path), source.reference, limits))
            return path
        if len(calibration) < MIN_CALIBRATION:
            raise ExportError(too_few_for_int8(len(calibration)))
        height, width = source.reference.pixels.shape[1:3]
        pixels = CalibrationPixels(sample_evenly(calibration, MAX_IMAGES), (height, width))
        self._require(quantise_edge(source.detector, pixels, source.reference, limits, path))
        return path

    def _require(self, accuracy: AccuracyResult) -> None:
        self.result.accuracy.append(accuracy)
        require_passed([accuracy])

    def _labels(self, onnx_path: Path) -> str:
        nms = self.source.nms
        about = {
            "model": self.source.name,
            "precision": self.precision.value,
            "labels": json.loads(read_metadata(onnx.load(onnx_path))["labels"]),
            "input_size": list(self.source.reference.pixels.shape[1:3]),
            "score_threshold": nms.score_threshold,
            "iou_threshold": nms.iou_threshold,
        }
        return json.dumps(about, ensure_ascii=False, indent=2) + "\n"


def _installed_nms(repository: Path, name: str) -> NmsConfig:
    model = find_installed(repository, name)
    for stage in (*model.stages, *model.shared):
        if stage.startswith("postprocess"):
            values = read_config(repository / stage / "config.pbtxt").parameters
            default = NmsConfig()
            return NmsConfig(
                *(
                    type(getattr(default, key))(values[key].string_value) if key in values else getattr(default, key)
                    for key in ("score_threshold", "nms_top_k", "keep_top_k", "iou_threshold")
                )
            )
    return NmsConfig()
