"""Puts a model's folders into a Triton model repository, and disturbs no other model there."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from export.errors import ExportError
from export.triton.templates import (
    MAX_BATCH_SIZE,
    ModelSpec,
    detector_files,
    ensemble_files,
    postprocess_files,
    preprocess_files,
)

# Folders of stages; an ensemble of such a name could be taken for one.
_STAGE_NAME = re.compile(r"(pre|post)process(_.*)?|.*_detector")
_OVERWRITE = "choose another --name, or replace it with --overwrite"


@dataclass(frozen=True, slots=True)
class Plan:
    """The configuration files of a model that are still to be written, stages first.

    Attributes:
        files: path → content.
    """

    files: dict[Path, str]

    def write(self) -> list[Path]:
        """Write them; returns their paths.

        Raises:
            ExportError: the repository cannot be written to.
        """
        for path, text in self.files.items():
            beside = path.with_name(f".{path.name}.new")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                beside.write_text(text, encoding="utf-8")
                beside.replace(path)
            except OSError as error:
                raise ExportError(f"{path} cannot be written: {error.strerror}") from error
        return list(self.files)


def plan_model(spec: ModelSpec, repository: Path) -> Plan:
    """Find out what is to be written for a model; nothing is written yet.

    Folders that models share are written only where they are absent. A model of the same name keeps its configuration,
    and what was tuned in it, if it has the same classes, size and NMS.

    Args:
        spec: the model.
        repository: the model repository; it need not exist.

    Raises:
        ExportError: the name or a value cannot be, or a folder is already something else.
    """
    _check_spec(spec)
    files: dict[Path, str] = {}
    shared_postprocess = spec.postprocess == "postprocess"
    # The ensemble comes last: whoever sees it finds its stages.
    for folder, generated, shared, same in (
        (spec.preprocess, preprocess_files(spec), True, _same_tensors),
        (spec.postprocess, postprocess_files(spec), shared_postprocess, _same_tensors_and_parameters),
        (spec.detector, detector_files(spec), False, _same_tensors),
        (spec.name, ensemble_files(spec), False, _same_ensemble),
    ):
        for path, text in generated.items():
            target = repository / folder / path
            if not target.exists():
                files[target] = text
            elif target.suffix == ".pbtxt":
                if shared:
                    _check_shared(target, text, same)
                elif _check_own(target, text, same, overwrite=spec.options.overwrite):
                    files[target] = text
    return Plan(files)


def stale_files(spec: ModelSpec, repository: Path, written: Sequence[Path]) -> list[Path]:
    """Model files in the detector's version folder that this export has not written: made from other weights."""
    folder = repository / spec.detector / "1"
    return sorted(path for path in folder.glob("[!.]*") if path not in written)


def _check_spec(spec: ModelSpec) -> None:
    if _STAGE_NAME.fullmatch(spec.name):
        raise ExportError(f"the model name {spec.name} would be taken for a stage of a model: choose one with --name")
    for label in spec.labels:
        try:
            label.encode("utf-8")
        except UnicodeEncodeError:
            raise ExportError(f"the label {label!a} is no text that UTF-8 can hold") from None
    if not 1 <= spec.batch_size <= MAX_BATCH_SIZE:
        raise ExportError(f"a batch size of {spec.batch_size} is not supported: choose 1 to {MAX_BATCH_SIZE}")
    threshold = spec.options.default_threshold
    if isinstance(threshold, Mapping) and (unknown := [i for i in threshold if not 0 <= i < len(spec.labels)]):
        raise ExportError(
            f"there is a threshold for class {unknown[0]}; the model's class ids are 0 to {len(spec.labels) - 1}"
        )


Same = Callable[[ModelConfig, ModelConfig], str]  # what differs, in a word or two, or nothing


def _check_shared(path: Path, text: str, same: Same) -> None:
    """Raise ExportError unless a folder that other models use as well serves this one too."""
    if difference := same(read_config(path), _parse(text)):
        raise ExportError(
            f"{path} is not the stage that the export makes: it differs in its {difference}; other models may use it, "
            "so it is left alone: move it away, or choose another --output_dir"
        )


def _check_own(path: Path, text: str, same: Same, *, overwrite: bool) -> bool:
    """Whether the file must be written anew.

    Raises:
        ExportError: it belongs to something else, or to a model that is not to be replaced.
    """
    there, ours = read_config(path), _parse(text)
    if (there.platform == "ensemble") != (ours.platform == "ensemble") or there.name not in ("", ours.name):
        raise ExportError(f"{path.parent.name} in the repository is another kind of model: choose another --name")
    if overwrite:
        return path.read_text(encoding="utf-8") != text
    if difference := same(there, ours):
        raise ExportError(f"{path} differs in its {difference} from what the export would write: {_OVERWRITE}")
    return False


def _same_tensors(one: ModelConfig, other: ModelConfig) -> str:
    for kind in ("input", "output"):
        a, b = ({t.name: (t.data_type, tuple(t.dims)) for t in getattr(config, kind)} for config in (one, other))
        if a != b:
            return f"{kind} ({', '.join(name for name in {**a, **b} if a.get(name) != b.get(name))})"
    return ""


def _same_tensors_and_parameters(one: ModelConfig, other: ModelConfig) -> str:
    return _same_tensors(one, other) or next(
        (key for key, value in other.parameters.items() if one.parameters[key] != value), ""
    )


def _same_ensemble(one: ModelConfig, other: ModelConfig) -> str:
    # The word for other labels first: they say most, and often go with another number of classes.
    for key in ("labels", "input_size", "default_threshold"):
        if one.parameters[key].string_value != other.parameters[key].string_value:
            return key.replace("_", " ")
    if one.ensemble_scheduling != other.ensemble_scheduling:
        return "choice of stages"
    return "batch size" if one.max_batch_size != other.max_batch_size else _same_tensors(one, other)


def read_config(path: Path) -> ModelConfig:
    """A config.pbtxt.

    Raises:
        ExportError: it is none.
    """
    try:
        return _parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise ExportError(f"{path} cannot be read as a Triton configuration: {error}") from None


def _parse(text: str) -> ModelConfig:
    return text_format.Parse(text, ModelConfig())
