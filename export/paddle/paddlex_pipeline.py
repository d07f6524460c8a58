"""Reads a PaddleX pipeline file (`paddlex --get_pipeline_config small_object_detection`) as options of the export."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.errors import ExportError
from export.triton.templates import Threshold
from export.yaml_file import read_yaml

LOG = logging.getLogger(__name__)
PIPELINE = "small_object_detection"
MODULE = "SmallObjectDetection"
_KEYS = {"module_name", "model_name", "model_dir", "batch_size", "threshold"}


@dataclass(frozen=True, slots=True)
class PipelineFile:
    """What of a pipeline file concerns an export.

    Attributes:
        model_name: becomes the served model's name; None keeps the model's own.
        model_dir: the Paddle inference model; None for the official model of that name.
        batch_size: images a forward; None where the file does not say.
        threshold: for requests that name none, a number or numbers by class id; None where the file does not say.
    """

    model_name: str | None
    model_dir: Path | None
    batch_size: int | None
    threshold: Threshold | None


def source_of(model_dir: Path | None, pipeline: Path | None) -> PipelineFile:
    """What to export: of a pipeline file, which may also be given as the model; else a file that says no more.

    Raises:
        ExportError: as of `read_pipeline_file`.
    """
    if pipeline is None and model_dir is not None and model_dir.suffix in (".yaml", ".yml"):
        pipeline = model_dir
    return PipelineFile(None, model_dir, None, None) if pipeline is None else read_pipeline_file(pipeline)


def read_pipeline_file(path: Path) -> PipelineFile:
    """Read and check a pipeline file.

    A relative `model_dir` starts from the working directory, as in PaddleX. What the file says beside the one module,
    for PaddleX's own serving, is left alone with a warning.

    Raises:
        ExportError: unreadable, of another pipeline, or with a setting that the export does not know.
    """
    return read_yaml(path, _parse)


def _parse(document: object) -> PipelineFile:
    if not isinstance(document, Mapping):
        raise ExportError("the file holds no settings at all")
    if document.get("pipeline_name") != PIPELINE:
        raise ExportError(f"pipeline_name is {document.get('pipeline_name')!r}; this server's pipeline is {PIPELINE}")
    modules = document.get("SubModules")
    if not isinstance(modules, Mapping) or not isinstance(modules.get(MODULE), Mapping):
        raise ExportError(f"SubModules.{MODULE} is missing")
    if others := sorted(str(name) for name in modules if name != MODULE):
        raise ExportError(f"SubModules has more than {MODULE}: {', '.join(others)}")
    if ignored := sorted(str(key) for key in document if key not in ("pipeline_name", "SubModules")):
        LOG.warning(
            "not for the export, ignored: %s (the server's settings are in docs/gateway.md)", ", ".join(ignored)
        )
    settings = modules[MODULE]
    if unknown := sorted(str(key) for key in settings if key not in _KEYS):
        raise ExportError(f"SubModules.{MODULE} has a setting that is not supported: {', '.join(unknown)}")
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
    if given == 1:  # what PaddleX writes, and there it costs nothing
        LOG.warning(
            "batch_size is 1: the detector will take images one by one; without the line Triton batches those that "
            "arrive together"
        )
    return given


def _threshold(settings: Mapping[str, Any]) -> Threshold | None:
    given = settings.get("threshold")
    if given is None:
        return None
    if not isinstance(given, Mapping):
        return _score(given)
    if wrong := [key for key in given if type(key) is not int or key < 0]:
        raise ExportError(f"SubModules.{MODULE}.threshold is for the class {wrong[0]!r}; classes are meant by their id")
    return {class_id: _score(value) for class_id, value in given.items()}


def _score(value: object) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or not 0 <= value <= 1:  # type: ignore[arg-type, operator]
        raise ExportError(f"SubModules.{MODULE}.threshold holds {value!r}, not a number from 0 to 1")
    return float(value)  # type: ignore[arg-type]
