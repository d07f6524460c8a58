"""Adds a model's folders to a Triton model repository without changing other models."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from export.errors import ExportError
from export.files import replacing
from export.triton.model_spec import MAX_BATCH_SIZE, SHARED_POSTPROCESS, ModelSpec
from export.triton.templates import (
    detector_files,
    ensemble_files,
    pixel_entrance_files,
    postprocess_files,
    preprocess_files,
)

# Names of stages' folders and of second entrances; a model must not have such a name.
_RESERVED_NAME = re.compile(r"(pre|post)process(_.*)?|.*_(detector|pixels)")
_HINT = "choose another --name, or replace it with --overwrite"


@dataclass(frozen=True, slots=True)
class PendingFiles:
    """The configuration files of a model that must be written, stages first.

    Attributes:
        files: path → content.
    """

    files: dict[Path, str]

    def write(self) -> list[Path]:
        """Write the files and return their paths.

        Raises:
            ExportError: the repository cannot be written to.
        """
        for path, text in self.files.items():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with replacing(path) as temporary:
                    temporary.write_text(text, encoding="utf-8")
            except OSError as error:
                raise ExportError(f"{path} cannot be written: {error.strerror}") from error
        return list(self.files)


def pending_files(spec: ModelSpec, repository: Path) -> PendingFiles:
    """Find the configuration files that a model needs; nothing is written yet.

    Folders that models share are written only if they do not exist. An existing model of the same name keeps its
    configuration, with the user's changes, if it has the same classes, size and NMS. Optional inputs that this version
    has added are inserted into both.

    Args:
        spec: the model.
        repository: the model repository; it need not exist.

    Raises:
        ExportError: the name or a value is not valid, or a folder already contains something else.
    """
    _check_spec(spec)
    files: dict[Path, str] = {}
    shared_postprocess = spec.postprocess == SHARED_POSTPROCESS
    # The ensembles come last, so that their stages exist when Triton finds them.
    for folder, generated, shared, compare in (
        (spec.preprocess, preprocess_files(spec), True, _compare_tensors),
        (spec.postprocess, postprocess_files(spec), shared_postprocess, _compare_stages),
        (spec.detector, detector_files(spec), False, _compare_tensors),
        (spec.pixel_entrance, pixel_entrance_files(spec), False, _compare_ensembles),
        (spec.name, ensemble_files(spec), False, _compare_ensembles),
    ):
        for path, text in generated.items():
            target = repository / folder / path
            if not target.exists():
                files[target] = text
            elif target.suffix == ".pbtxt":
                check = _check_shared if shared else _check_own
                if (replacement := check(target, text, compare, overwrite=spec.options.overwrite)) is not None:
                    files[target] = replacement
    return PendingFiles(files)


def stale_files(spec: ModelSpec, repository: Path, installed: Sequence[Path]) -> list[Path]:
    """Model files in the detector's version folder that this export has not written: they have other weights."""
    folder = repository / spec.detector / "1"
    return sorted(path for path in folder.glob("[!.]*") if path not in installed)


def _check_spec(spec: ModelSpec) -> None:
    if _RESERVED_NAME.fullmatch(spec.name):
        raise ExportError(f"the model name {spec.name} is reserved for a part of a model: choose one with --name")
    for label in spec.labels:
        try:
            label.encode("utf-8")
        except UnicodeEncodeError:
            raise ExportError(f"the label {label!a} cannot be encoded in UTF-8") from None
    if not 1 <= spec.batch_size <= MAX_BATCH_SIZE:
        raise ExportError(f"a batch size of {spec.batch_size} is not supported: choose 1 to {MAX_BATCH_SIZE}")
    threshold = spec.options.default_threshold
    if isinstance(threshold, Mapping) and (unknown := [i for i in threshold if not 0 <= i < len(spec.labels)]):
        raise ExportError(
            f"the threshold has the class id {unknown[0]}; the model's class ids are 0 to {len(spec.labels) - 1}"
        )


Comparison = Callable[[ModelConfig, ModelConfig], str]  # names the first difference; empty if there is none


def _check_shared(path: Path, text: str, compare: Comparison, *, overwrite: bool) -> str | None:  # noqa: ARG001
    """Check that an existing stage, which other models may use and `overwrite` does not affect, fits this model too.

    Returns:
        The text that must replace it, if it is that of an earlier version; else None.

    Raises:
        ExportError: it is another stage.
    """
    existing, ours = read_config(path), _parse(text)
    if not (difference := compare(existing, ours)):
        return None
    if (upgraded := _with_new_inputs(existing, ours, compare)) is not None:
        return upgraded
    raise ExportError(
        f"{path} is not the stage that this model needs: it differs in its {difference}. Other models may use it, "
        "so it is not replaced: move it away, or choose another --output_dir"
    )


def _check_own(path: Path, text: str, compare: Comparison, *, overwrite: bool) -> str | None:
    """The text that must replace an existing file of this model; None if the file stays.

    Raises:
        ExportError: it belongs to another kind of model, or differs and `overwrite` is false.
    """
    existing, ours = read_config(path), _parse(text)
    if (existing.platform == "ensemble") != (ours.platform == "ensemble") or existing.name not in ("", ours.name):
        raise ExportError(f"{path.parent.name} in the repository is another kind of model: choose another --name")
    if overwrite:
        return text if path.read_text(encoding="utf-8") != text else None
    if not (difference := compare(existing, ours)):
        return None
    if (upgraded := _with_new_inputs(existing, ours, compare)) is not None:
        return upgraded
    raise ExportError(f"{path} differs in its {difference} from the exported model: {_HINT}")


def _with_new_inputs(existing: ModelConfig, ours: ModelConfig, compare: Comparison) -> str | None:
    """The existing configuration, with the user's changes, and the optional inputs that this version has added.

    Whoever uses the model without them is not affected. None if that is not the only difference.
    """
    required = {tensor.name for tensor in existing.input if not tensor.optional}
    added = {tensor.name for tensor in ours.input} - {tensor.name for tensor in existing.input}
    if any(not tensor.optional and tensor.name not in required for tensor in ours.input):
        return None
    upgraded = ModelConfig()
    upgraded.CopyFrom(existing)
    for tensor in ours.input:
        if tensor.name in added:
            upgraded.input.add().CopyFrom(tensor)
        else:
            next(one for one in upgraded.input if one.name == tensor.name).optional = tensor.optional
    for step, other in zip(upgraded.ensemble_scheduling.step, ours.ensemble_scheduling.step, strict=False):
        for name in added & other.input_map.keys():
            step.input_map[name] = other.input_map[name]
    return None if compare(upgraded, ours) else text_format.MessageToString(upgraded, as_utf8=True)


def _compare_tensors(one: ModelConfig, other: ModelConfig) -> str:
    for kind in ("input", "output"):
        a, b = (
            {t.name: (t.data_type, tuple(t.dims), kind == "input" and t.optional) for t in getattr(config, kind)}
            for config in (one, other)
        )
        if a != b:
            return f"{kind} ({', '.join(name for name in {**a, **b} if a.get(name) != b.get(name))})"
    return ""


def _compare_stages(one: ModelConfig, other: ModelConfig) -> str:
    return _compare_tensors(one, other) or next(
        (key for key in other.parameters if _parameter(one, key) != _parameter(other, key)), ""
    )


def _compare_ensembles(one: ModelConfig, other: ModelConfig) -> str:
    # Labels come first: they are the clearest difference, and other labels often change the number of classes too.
    for key in ("labels", "input_size", "default_threshold"):
        if _parameter(one, key) != _parameter(other, key):
            return key.replace("_", " ")
    if one.ensemble_scheduling != other.ensemble_scheduling:
        return "stages"
    return "batch size" if one.max_batch_size != other.max_batch_size else _compare_tensors(one, other)


def _parameter(config: ModelConfig, key: str) -> str:
    """A parameter, empty if there is none; `config.parameters[key]` would add it."""
    return str(config.parameters[key].string_value) if key in config.parameters else ""


def read_config(path: Path) -> ModelConfig:
    """Read a config.pbtxt.

    Raises:
        ExportError: it cannot be read, or is not a Triton configuration.
    """
    try:
        return _parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise ExportError(f"{path} cannot be read as a Triton configuration: {error}") from None


def _parse(text: str) -> ModelConfig:
    return text_format.Parse(text, ModelConfig())
