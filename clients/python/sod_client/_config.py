"""Reads PaddleX's pipeline description, a YAML file or the dict of one."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sod_client._thresholds import Threshold, checked
from sod_client.errors import InvalidConfigError, InvalidThresholdError, MissingFileError, SodWarning, about

PIPELINE = "small_object_detection"
MODULE = "SmallObjectDetection"
_YAML = (".yaml", ".yml")
# PaddleX's choices of an engine; here the server's profile is one, and `device` and `use_hpip` choose it.
_ENGINE_KEYS = ("engine", "engine_config", "hpi_config", "pp_option")


@dataclass(frozen=True)
class PipelineConfig:
    """What a pipeline description says that concerns this package.

    Attributes:
        model_name: of the model to ask; None where it does not say.
        model_dir: of the Paddle model that it was exported from; None where it does not say.
        threshold: where a call names none; None where it does not say.
        use_hpip: as `create_pipeline`'s; None where it does not say.
    """

    model_name: str | None = None
    model_dir: str | None = None
    threshold: float | dict[int, float] | None = None
    use_hpip: bool | None = None


def read_config(pipeline: str | os.PathLike[str] | None, config: Mapping[str, Any] | None) -> PipelineConfig:
    """The description that `create_pipeline` was given; `config` wins over the name or file.

    Raises:
        InvalidConfigError: it is of another pipeline, or does not fit.
        MissingFileError: there is no such file.
    """
    if config is not None:
        return _parse(config, "config")
    if pipeline is None:
        raise InvalidConfigError("give a pipeline's name or file, or config=")
    name = os.fspath(pipeline)
    if not name.endswith(_YAML):
        _check_name(name)
        return PipelineConfig()
    try:
        document = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise about(MissingFileError("no such pipeline file"), name) from error
    except OSError as error:
        raise about(InvalidConfigError(f"cannot be read: {error.strerror}"), name) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise about(InvalidConfigError(f"not YAML: {' '.join(str(error).split())}"), name) from error
    try:
        return _parse(document, "the file")
    except InvalidConfigError as error:
        raise about(error, name) from None


def ignored(options: Mapping[str, object]) -> None:
    """Warn of PaddleX's own options that have no effect here."""
    if named := [key for key, value in options.items() if value is not None]:
        warnings.warn(
            f"{', '.join(named)}: PaddleX's own, without effect here; device and use_hpip choose how the detectors run",
            SodWarning,
            stacklevel=4,
        )


def _check_name(name: object) -> None:
    if name != PIPELINE:
        raise InvalidConfigError(
            f"this server's pipeline is {PIPELINE!r}, not {name!r}; a file's name ends in .yaml or .yml"
        )


def _parse(document: object, what: str) -> PipelineConfig:
    if not isinstance(document, Mapping):
        raise InvalidConfigError(f"{what} holds no settings, such as pipeline_name")
    _check_name(document.get("pipeline_name"))
    modules = document.get("SubModules")
    settings = modules.get(MODULE) if isinstance(modules, Mapping) else None
    if not isinstance(settings, Mapping):
        raise InvalidConfigError(f"SubModules.{MODULE} is missing")
    if settings.get("module_name", PIPELINE) != PIPELINE:
        raise InvalidConfigError(f"SubModules.{MODULE}.module_name is {settings['module_name']!r}, not {PIPELINE}")
    ignored({key: settings.get(key, document.get(key)) for key in _ENGINE_KEYS})
    _batch_size(settings.get("batch_size"))
    return PipelineConfig(
        model_name=_text(settings, "model_name"),
        model_dir=_text(settings, "model_dir"),
        threshold=_threshold(settings.get("threshold")),
        use_hpip=_flag(settings.get("use_hpip", document.get("use_hpip"))),
    )


def _text(settings: Mapping[str, Any], key: str) -> str | None:
    value = settings.get(key)
    if value is not None and (not isinstance(value, str | os.PathLike) or not os.fspath(value)):
        raise InvalidConfigError(f"SubModules.{MODULE}.{key} is {value!r}, not a text")
    return None if value is None else os.fspath(value)


def _batch_size(value: object) -> None:
    # Triton makes the batches, of what arrives together.
    if value is not None and (type(value) is not int or value < 1):
        raise InvalidConfigError(f"SubModules.{MODULE}.batch_size is {value!r}, not a number of images")


def _threshold(value: Threshold | None) -> float | dict[int, float] | None:
    try:
        return checked(value)
    except InvalidThresholdError as error:
        raise InvalidConfigError(f"SubModules.{MODULE}.threshold: {error}") from None


def _flag(value: object) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise InvalidConfigError(f"use_hpip is {value!r}, not true or false")
    return value
