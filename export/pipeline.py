"""The export, step by step."""

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from export.artefacts import put_in_place
from export.check import Limits, check_detector, format_report, require
from export.convert import convert
from export.onnx_model import OPSET, to_detector
from export.paddle_model import PaddleModel, cut_model
from export.repository import plan_model, stale_files
from export.templates import DEFAULT_OPTIONS, ModelSpec, ServingOptions

LOG = logging.getLogger(__name__)
DEFAULT_LIMITS = Limits()


def export_detector(  # noqa: PLR0913 - options, all by name
    model: PaddleModel,
    output_dir: Path,
    pictures: Sequence[NDArray[np.uint8]],
    *,
    with_paddle: bool = True,
    limits: Limits = DEFAULT_LIMITS,
    options: ServingOptions = DEFAULT_OPTIONS,
) -> list[Path]:
    """Make `<output_dir>/<model name>_detector/1/model.onnx`, the cut Paddle model beside it, and their configuration.

    Args:
        model: of `find_model`.
        output_dir: a Triton model repository.
        pictures: to check on, uint8 BGR [h, w, 3], at least one.
        with_paddle: also put `inference.json` and `inference.pdiparams` there, for the profile `cpu_regular`.
        limits: of the check.
        options: of the configuration.

    Returns:
        The files written.

    Raises:
        ExportError: see its text; nothing was written.
        CheckFailedError: the detector does not do what Paddle Inference does; nothing was written.
    """
    config = model.config
    LOG.info("%s: %d x %d, %d classes", config.model_name, config.width, config.height, len(config.labels))
    with tempfile.TemporaryDirectory(prefix="triton-sod-export-") as work:
        work_dir = Path(work)
        LOG.info("cutting the model before its NMS")
        cut = cut_model(model, work_dir)
        spec = ModelSpec.of(cut, options, paddle=with_paddle)
        plan = plan_model(spec, output_dir)
        LOG.info("converting to ONNX, opset %d", OPSET)
        converted, onnx_path = work_dir / "converted.onnx", work_dir / "model.onnx"
        convert(cut, converted, OPSET)
        onnx.save(to_detector(onnx.load(converted), cut), onnx_path)
        LOG.info("checking against Paddle Inference (CPU, FP32; minutes for a large model)")
        report = check_detector(onnx_path, cut, pictures, limits)
        LOG.info("%s", format_report(report, limits))
        require(report, limits)
        artefacts = {"model.onnx": onnx_path}
        if with_paddle:
            artefacts |= {"inference.json": cut.program, "inference.pdiparams": cut.params}
        written = put_in_place(artefacts, output_dir / spec.detector / "1")
        for path in stale_files(spec, output_dir, written):
            LOG.warning("%s was there before, and is not of this export: make it anew or remove it", path)
        return written + plan.write()
