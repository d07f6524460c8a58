"""The ensembles of the model repository: which a profile can serve, and what the others lack."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from server.errors import ServerError
from sod.formats.weights import weights_files
from sod.interface import ENTRANCE_OF, pixel_entrance

_DEFAULT_FILENAMES = {"python": "model.py", "onnxruntime": "model.onnx", "openvino": "model.xml"}
# Options with which `make export` writes these files; the others need none.
_EXPORT_OPTIONS = {"model_int8.xml": " TARGET=openvino PRECISION=int8 IMAGES=<folder of images>"}

# Models that the export downloads.
_OFFICIAL = ("PP-YOLOE_plus_SOD-S", "PP-YOLOE_plus_SOD-L", "PP-YOLOE_plus_SOD-largesize-L")


@dataclass(frozen=True, slots=True)
class Ensemble:
    """An ensemble of the repository.

    Attributes:
        name: of its folder.
        missing: a sentence that says what it lacks; empty if it can be served.
        stages: names of the models that it runs, in order.
        pixel_entrance: name of the ensemble that takes pixels instead of an encoded image; empty if there is none.
    """

    name: str
    missing: str = ""
    stages: tuple[str, ...] = ()
    pixel_entrance: str = ""


def find_ensembles(repository: Path, profile: str, backends: Iterable[str]) -> list[Ensemble]:
    """The repository's ensembles, by name; a second entrance belongs to its model and is not listed.

    Args:
        repository: folder of model folders.
        profile: one of `server.devices.PROFILES`: Triton reads <model>/configs/<profile>.pbtxt, else config.pbtxt.
        backends: names of the backends that this server has.

    Raises:
        ServerError: there is no such folder, or no ensemble in it.
    """
    if not repository.is_dir():
        raise ServerError(f"there is no model repository at {repository}: give --model-repository a folder")
    found: list[Ensemble] = []
    unreadable: dict[str, str] = {}
    for path in sorted(repository.glob("*/config.pbtxt")):
        name = path.parent.name
        try:
            config = _read(path)
        except ServerError as error:
            unreadable[name] = str(error)
            continue
        if config.platform == "ensemble" and ENTRANCE_OF not in config.parameters:
            stages = tuple(dict.fromkeys(step.model_name for step in config.ensemble_scheduling.step))
            reasons = (_missing(repository / stage, name, profile, set(backends)) for stage in stages)
            entrance = pixel_entrance(name) if (repository / pixel_entrance(name) / "config.pbtxt").is_file() else ""
            found.append(Ensemble(name, next(filter(None, reasons), ""), stages, entrance))
    # Whether an unreadable one is an ensemble nobody can tell; a stage is named by the ensemble that needs it.
    needed = {stage for ensemble in found for stage in ensemble.stages}
    found += [Ensemble(name, problem) for name, problem in unreadable.items() if name not in needed]
    if not any(ensemble.stages for ensemble in found):
        problems = "".join(f"\n  {problem}" for problem in unreadable.values())
        raise ServerError(f"{repository} holds no ensemble: give --model-repository the folder of models{problems}")
    return sorted(found, key=lambda ensemble: ensemble.name)


def stage_configs(repository: Path, ensembles: Iterable[Ensemble], profile: str) -> list[ModelConfig]:
    """The configurations of all stages of these ensembles, each once; those that cannot be read are left out."""
    configs = []
    for stage in dict.fromkeys(stage for ensemble in ensembles for stage in ensemble.stages):
        with suppress(ServerError):
            configs.append(_read(_config_path(repository / stage, profile)))
    return configs


def read_served_config(repository: Path, model: str, profile: str) -> ModelConfig:
    """The configuration that Triton reads of a model.

    Raises:
        ServerError: it cannot be read.
    """
    return _read(_config_path(repository / model, profile))


def weights_of(repository: Path, ensemble: Ensemble, profile: str) -> tuple[Path, ...]:
    """The files that Triton loads for an ensemble's detector; none if that cannot be told."""
    found = []
    for stage in ensemble.stages:
        with suppress(ServerError):
            config = read_served_config(repository, stage, profile)
            versions = [int(path.name) for path in (repository / stage).glob("[0-9]*") if path.name.isdecimal()]
            if config.backend != "python" and versions:
                folder = repository / stage / str(max(versions))  # Triton's default policy is the latest version
                found.append(weights_files(folder, _filename(config)))
    return found[0] if len(found) == 1 else ()


def _filename(config: ModelConfig) -> str:
    return str(config.default_model_filename) or _DEFAULT_FILENAMES.get(config.backend, "")


def _config_path(model: Path, profile: str) -> Path:
    own = model / "configs" / f"{profile}.pbtxt"
    return own if own.is_file() else model / "config.pbtxt"


def _missing(model: Path, ensemble: str, profile: str, backends: set[str]) -> str:
    """Why one stage cannot be loaded; empty if nothing is known against it."""
    path = _config_path(model, profile)
    if not path.is_file():
        return f"its stage {model.name} is not in the repository"
    try:
        config = _read(path)
    except ServerError as error:
        return str(error)
    if config.backend not in backends:
        return f"profile {profile} runs it on the backend {config.backend}, which this Triton does not have"
    filename = _filename(config)
    if not list(model.glob(f"[0-9]*/{filename}")):
        source = f"MODEL={ensemble}" if ensemble in _OFFICIAL else "MODEL_DIR=<its Paddle inference model>"
        options = f"{source}{_EXPORT_OPTIONS.get(filename, '')}"
        return f"{model.name}/1/{filename} is absent: make export {options}"
    return ""


def _read(path: Path) -> ModelConfig:
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), ModelConfig())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ServerError(f"{path} is not a Triton model configuration: {error}") from None
    except OSError as error:
        raise ServerError(f"{path} cannot be read: {error.strerror}") from None
