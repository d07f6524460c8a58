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
    configuration, with the user's changes, if it has the same classes, size and NMS.

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
                if shared:
                    _check_shared(target, text, compare)
                elif _check_own(target, text, compare, overwrite=spec.options.overwrite):
                    files[target] = text
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


def _check_shared(path: Path, text: str, compare: Comparison) -> None:
    """Raise ExportError unless an existing stage, which other models may use, fits this model too."""
    if difference := compare(read_config(path), _parse(text)):
        raise ExportError(
            f"{path} is not the stage that this model needs: it differs in its {difference}. Other models may use it, "
            "so it is not replaced: move it away, or choose another --output_dir"
        )


def _check_own(path: Path, text: str, compare: Comparison, *, overwrite: bool) -> bool:
    """Whether an existing file of this model must be replaced.

    Raises:
        ExportError: it belongs to another kind of model, or differs and `overwrite` is false.
    """
    existing, ours = read_config(path), _parse(text)
    if (existing.platform == "ensemble") != (ours.platform == "ensemble") or existing.name not in ("", ours.name):
        raise ExportError(f"{path.parent.name} in the repository is another kind of model: choose another --name")
    if overwrite:
        return path.read_text(encoding="utf-8") != text
    if difference := compare(existing, ours):
        raise ExportError(f"{path} differs in its {difference} from the exported model: {_HINT}")
    return False


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
        (key for key, value in other.parameters.items() if one.parameters[key] != value), ""
    )


def _compare_ensembles(one: ModelConfig, other: ModelConfig) -> str:
    # Labels come first: they are the clearest difference, and other labels often change the number of classes too.
    for key in ("labels", "input_size", "default_threshold"):
        if one.parameters[key].string_value != other.parameters[key].string_value:
            return key.replace("_", " ")
    if one.ensemble_scheduling != other.ensemble_scheduling:
        return "stages"
    return "batch size" if one.max_batch_size != other.max_batch_size else _compare_tensors(one, other)


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
