"""Reads a PaddleX pipeline file, as `paddlex --get_pipeline_config small_object_detection` writes it."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.errors import ExportError
from export.files import read_yaml
from export.serving_options import Threshold

LOG = logging.getLogger(__name__)
PIPELINE = "small_object_detection"
MODULE = "SmallObjectDetection"
_KEYS = {"module_name", "model_name", "model_dir", "batch_size", "threshold"}


@dataclass(frozen=True, slots=True)
class PipelineFile:
    """The settings of a pipeline file that the export uses.

    Attributes:
        model_name: the served model's name; None keeps the model's own name.
        model_dir: the Paddle inference model; None means the official model of that name.
        batch_size: images per inference; None if the file does not set it, or sets 1.
        threshold: for requests without a threshold; None if the file does not set it.
    """

    model_name: str | None
    model_dir: Path | None
    batch_size: int | None
    threshold: Threshold | None


def source_of(model_dir: Path | None, pipeline: Path | None) -> PipelineFile:
    """Find out what to export.

    Args:
        model_dir: a Paddle inference model, or a pipeline file by its suffix .yaml or .yml.
        pipeline: a pipeline file.

    Returns:
        The settings of the pipeline file, or only `model_dir` if there is no such file.

    Raises:
        ExportError: see `read_pipeline_file`.
    """
    if pipeline is None and model_dir is not None and model_dir.suffix in (".yaml", ".yml"):
        pipeline = model_dir
    return PipelineFile(None, model_dir, None, None) if pipeline is None else read_pipeline_file(pipeline)


def read_pipeline_file(path: Path) -> PipelineFile:
    """Read and check a pipeline file.

    A relative `model_dir` is relative to the working directory, as in PaddleX. Settings outside the one module, which
    are for PaddleX's own serving, are ignored with a warning.

    Raises:
        ExportError: the file cannot be read, is of another pipeline, or has an unsupported setting.
    """
    return read_yaml(path, _parse)


def _parse(document: Mapping[str, Any]) -> PipelineFile:
    if document.get("pipeline_name") != PIPELINE:
        raise ExportError(f"pipeline_name is {document.get('pipeline_name')!r}; only {PIPELINE} is supported")
    modules = document.get("SubModules")
    if not isinstance(modules, Mapping) or not isinstance(modules.get(MODULE), Mapping):
        raise ExportError(f"SubModules.{MODULE} is missing")
    if others := sorted(str(name) for name in modules if name != MODULE):
        raise ExportError(f"SubModules has modules beside {MODULE}: {', '.join(others)}")
    if ignored := sorted(str(key) for key in document if key not in ("pipeline_name", "SubModules")):
        LOG.warning(
            "the export ignores these settings: %s (the server's settings are in docs/gateway.md)", ", ".join(ignored)
        )
    settings = modules[MODULE]
    if unknown := sorted(str(key) for key in settings if key not in _KEYS):
        raise ExportError(f"SubModules.{MODULE} has an unsupported setting: {', '.join(unknown)}")
    if settings.get("module_name", PIPELINE) != PIPELINE:
        raise ExportError(f"SubModules.{MODULE}.module_name is {settings['module_name']!r}, not {PIPELINE}")
    name = settings.get("model_name")
    if not isinstance(name, str) or not name:
        raise ExportError(f"SubModules.{MODULE}.model_name is {name!r}, not a name")
    return PipelineFile(name, _model_dir(settings), _batch_size(settings), _threshold(settings))


def _model_dir(settings: Mapping[str, Any]) -> Path | None:
    given = settings.get("model_dir")
    if given is not None and (not isinstance(given, str) or not given):
        raise ExportError(f"SubModules.{MODULE}.model_dir is {given!r}, not a path")
    return None if given is None else Path(given)


def _batch_size(settings: Mapping[str, Any]) -> int | None:
    given = settings.get("batch_size")
    if given is not None and (type(given) is not int or given < 1):
        raise ExportError(f"SubModules.{MODULE}.batch_size is {given!r}, not a number of images")
    # 1 is PaddleX's default, which costs nothing there; in Triton it would prevent batching.
    return None if given == 1 else given


def _threshold(settings: Mapping[str, Any]) -> Threshold | None:
    given = settings.get("threshold")
    if given is None:
        return None
    if not isinstance(given, Mapping):
        return _score(given)
    if wrong := [key for key in given if type(key) is not int or key < 0]:
        raise ExportError(f"SubModules.{MODULE}.threshold has the key {wrong[0]!r}; keys must be class ids")
    return {class_id: _score(value) for class_id, value in given.items()}


def _score(value: object) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or not 0 <= value <= 1:  # type: ignore[arg-type, operator]
        raise ExportError(f"SubModules.{MODULE}.threshold contains {value!r}, not a number from 0 to 1")
    return float(value)  # type: ignore[arg-type]
