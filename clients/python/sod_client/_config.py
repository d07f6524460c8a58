"""Reads PaddleX's pipeline configuration: a YAML file, or its content as a dict."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sod_client._slices import SliceOptions
from sod_client._thresholds import ClassKey, Threshold, check_threshold
from sod_client.errors import InvalidConfigError, InvalidThresholdError, MissingFileError, SodWarning, add_location

PIPELINE = "small_object_detection"
MODULE = "SmallObjectDetection"
_YAML = (".yaml", ".yml")
# PaddleX's options of the inference engine. Here the server's profile decides, which `device` and `use_hpip` select.
# PaddleDetection's names, and the attributes of `SliceOptions`.
_SLICE_KEYS = {
    "slice_infer": "infer",
    "slice_size": "size",
    "overlap_ratio": "overlap",
    "combine_method": "combine",
    "match_metric": "metric",
    "match_threshold": "threshold",
}
_ENGINE_KEYS = ("engine", "engine_config", "hpi_config", "pp_option")


@dataclass(frozen=True)
class PipelineConfig:
    """The settings of a pipeline configuration that this package uses; None if the configuration does not set them.

    Attributes:
        model_name: name of the served model.
        model_dir: folder of a Paddle inference model, relative to the working directory; the model that is used.
        threshold: threshold of calls that pass none.
        use_hpip: as of `create_pipeline`.
        slices: how images are sliced in calls that do not say; these keys are not PaddleX's.
        visualize: whether a server that is started with the file draws by default (`Serving.visualize`).
    """

    model_name: str | None = None
    model_dir: str | None = None
    threshold: float | dict[ClassKey, float] | None = None
    use_hpip: bool | None = None
    slices: SliceOptions = field(default_factory=SliceOptions)
    visualize: bool | None = None


def read_config(pipeline: str | os.PathLike[str] | None, config: Mapping[str, Any] | None) -> PipelineConfig:
    """Read the configuration that was passed to `create_pipeline`; `config` takes precedence over `pipeline`.

    Raises:
        InvalidConfigError: the configuration is invalid, or of another pipeline.
        MissingFileError: the file does not exist.
    """
    if config is not None:
        return _parse(config, "config")
    if pipeline is None:
        raise InvalidConfigError("pass the name or file of a pipeline, or config=")
    name = os.fspath(pipeline)
    if not name.endswith(_YAML):
        _check_name(name)
        return PipelineConfig()
    try:
        document = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise add_location(MissingFileError("no such pipeline file"), name) from error
    except OSError as error:
        raise add_location(InvalidConfigError(f"cannot be read: {error.strerror}"), name) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise add_location(InvalidConfigError(f"not YAML: {' '.join(str(error).split())}"), name) from error
    try:
        return _parse(document, "the file")
    except InvalidConfigError as error:
        raise add_location(error, name) from None


def read_model_dir(pipeline: str | os.PathLike[str] | None) -> str | None:
    """The `model_dir` of a pipeline file, without the warnings of `read_config`; raises the same errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SodWarning)
        return read_config(pipeline, None).model_dir


def warn_of_ignored_options(options: Mapping[str, object]) -> None:
    """Warn of PaddleX's options that have no effect in this package."""
    if named := [key for key, value in options.items() if value is not None]:
        warnings.warn(
            f"{', '.join(named)}: this option of PaddleX has no effect; use device and use_hpip instead",
            SodWarning,
            stacklevel=4,
        )


def _check_name(name: object) -> None:
    if name != PIPELINE:
        raise InvalidConfigError(f"the pipeline must be {PIPELINE!r} or the path of a .yaml or .yml file, not {name!r}")


def _parse(document: object, what: str) -> PipelineConfig:
    if not isinstance(document, Mapping):
        raise InvalidConfigError(f"{what} contains no settings such as pipeline_name")
    _check_name(document.get("pipeline_name"))
    modules = document.get("SubModules")
    settings = modules.get(MODULE) if isinstance(modules, Mapping) else None
    if not isinstance(settings, Mapping):
        raise InvalidConfigError(f"SubModules.{MODULE} is missing")
    if settings.get("module_name", PIPELINE) != PIPELINE:
        raise InvalidConfigError(
            f"SubModules.{MODULE}.module_name must be {PIPELINE!r}, not {settings['module_name']!r}"
        )
    serving = document.get("Serving")
    warn_of_ignored_options({key: settings.get(key, document.get(key)) for key in _ENGINE_KEYS})
    _check_batch_size(settings.get("batch_size"))
    return PipelineConfig(
        model_name=_text(settings, "model_name"),
        model_dir=_text(settings, "model_dir"),
        threshold=_threshold(settings.get("threshold")),
        use_hpip=_flag("use_hpip", settings.get("use_hpip", document.get("use_hpip"))),
        slices=_slices(settings),
        visualize=_flag("Serving.visualize", serving.get("visualize") if isinstance(serving, Mapping) else None),
    )


def _text(settings: Mapping[str, Any], key: str) -> str | None:
    value = settings.get(key)
    if value is not None and (not isinstance(value, str | os.PathLike) or not os.fspath(value)):
        raise InvalidConfigError(f"SubModules.{MODULE}.{key} must be a text, not {value!r}")
    return None if value is None else os.fspath(value)


def _check_batch_size(value: object) -> None:
    # The value is not used: Triton forms batches of the requests that arrive together.
    if value is not None and (type(value) is not int or value < 1):
        raise InvalidConfigError(f"SubModules.{MODULE}.batch_size must be a whole number from 1, not {value!r}")


def _threshold(value: Threshold | None) -> float | dict[ClassKey, float] | None:
    try:
        return check_threshold(value)
    except InvalidThresholdError as error:
        raise InvalidConfigError(f"SubModules.{MODULE}.threshold: {error}") from None


def _slices(settings: Mapping[str, Any]) -> SliceOptions:
    given = {key: value for key, value in settings.items() if str(key) in _SLICE_KEYS or str(key).startswith("slice")}
    if unknown := sorted(str(key) for key in given if key not in _SLICE_KEYS):
        raise InvalidConfigError(
            f"SubModules.{MODULE}.{unknown[0]} is no setting of slices; these are: {', '.join(_SLICE_KEYS)}"
        )
    options = SliceOptions(**{_SLICE_KEYS[key]: value for key, value in given.items()})
    try:
        options.check()
        if options.infer == "auto":
            options.field()  # refuses further options, which the automatic choice replaces
    except InvalidConfigError as error:
        raise InvalidConfigError(f"SubModules.{MODULE}: {error}") from None
    return options


def _flag(name: str, value: object) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise InvalidConfigError(f"{name} must be true or false, not {value!r}")
    return value
