"""Models of a repository: which folders belong to one, and their removal."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from export.errors import ExportError
from export.triton.repository import read_config


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """The folders of a model in a repository.

    Attributes:
        name: of the model, an ensemble.
        ensembles: the model, and other ensembles that use its detector.
        stages: stages that no other model uses.
        shared: stages that other models use too.
    """

    name: str
    ensembles: tuple[str, ...]
    stages: tuple[str, ...]
    shared: tuple[str, ...]


def find_installed(repository: Path, name: str) -> InstalledModel:
    """Find a model's folders.

    Raises:
        ExportError: the repository has no such model; the text lists those that it has.
    """
    steps = _steps(repository)
    detectors = {stage for stages in steps.values() for stage in stages if stage.endswith("_detector")}
    models = [ensemble for ensemble in steps if f"{ensemble}_detector" in detectors]
    if name not in models:
        has = ", ".join(models) or "none"
        raise ExportError(f"{repository} has no model {name}: the models there are {has}")
    own = [ensemble for ensemble, stages in steps.items() if ensemble == name or f"{name}_detector" in stages]
    others = {stage for ensemble, stages in steps.items() if ensemble not in own for stage in stages}
    used = dict.fromkeys(stage for ensemble in own for stage in steps[ensemble])
    return InstalledModel(
        name,
        (name, *(ensemble for ensemble in own if ensemble != name)),
        tuple(stage for stage in used if stage not in others),
        tuple(stage for stage in used if stage in others),
    )


def remove_installed(repository: Path, model: InstalledModel) -> list[Path]:
    """Delete a model's folders, those that other models use excepted; the ensembles first.

    Returns:
        The deleted folders.

    Raises:
        ExportError: a folder cannot be deleted.
    """
    folders = [repository / name for name in (*model.ensembles, *model.stages) if (repository / name).is_dir()]
    for folder in folders:
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise ExportError(f"{folder} cannot be deleted: {error.strerror}") from error
    return folders


def _steps(repository: Path) -> dict[str, tuple[str, ...]]:
    """The stages of every ensemble of the repository."""
    configs = {path.parent.name: read_config(path) for path in sorted(repository.glob("*/config.pbtxt"))}
    return {
        name: tuple(step.model_name for step in config.ensemble_scheduling.step)
        for name, config in configs.items()
        if config.platform == "ensemble"
    }
