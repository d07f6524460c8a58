"""What of the model repository can be served under a profile, and why the rest cannot."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from server.errors import ServerError

# `--model-config-name`: Triton takes <model>/configs/<profile>.pbtxt, else <model>/config.pbtxt.
PROFILES = ("cpu_bf16", "cpu_high_performance", "cpu_int8", "cpu_regular", "gpu_high_performance", "gpu_regular")

_DEFAULT_FILENAMES = {"python": "model.py", "onnxruntime": "model.onnx", "openvino": "model.xml"}
# What `make export` must be told to make these; the others it makes by itself.
_EXPORT_OPTIONS = {"model_int8.xml": " TARGET=openvino PRECISION=int8 IMAGES=<folder of images>"}

# What the export can download.
_OFFICIAL = ("PP-YOLOE_plus_SOD-S", "PP-YOLOE_plus_SOD-L", "PP-YOLOE_plus_SOD-largesize-L")


@dataclass(frozen=True, slots=True)
class Ensemble:
    """An ensemble of the repository; `missing` says in a sentence what it lacks, empty if it can be served."""

    name: str
    missing: str = ""


def find_ensembles(repository: Path, profile: str, backends: Iterable[str]) -> list[Ensemble]:
    """The repository's ensembles, by name.

    Args:
        repository: folder of model folders.
        profile: one of `PROFILES`.
        backends: names of the backends that this server has.

    Raises:
        ServerError: there is no such folder, or no ensemble in it, or a config.pbtxt that cannot be read.
    """
    if not repository.is_dir():
        raise ServerError(f"there is no model repository at {repository}: give --model-repository a folder")
    configs = {path.parent.name: path for path in sorted(repository.glob("*/config.pbtxt"))}
    found = []
    for name, path in configs.items():
        config = _read(path)
        if config.platform == "ensemble":
            reasons = (
                _missing(repository / step.model_name, name, profile, set(backends))
                for step in config.ensemble_scheduling.step
            )
            found.append(Ensemble(name, next(filter(None, reasons), "")))
    if not found:
        raise ServerError(f"{repository} holds no ensemble: --model-repository wants the folder of model folders")
    return found


def _missing(model: Path, ensemble: str, profile: str, backends: set[str]) -> str:
    """Why one stage cannot be loaded, or nothing."""
    own = model / "configs" / f"{profile}.pbtxt"
    path = own if own.is_file() else model / "config.pbtxt"
    if not path.is_file():
        return f"its stage {model.name} is not in the repository"
    config = _read(path)
    if config.backend not in backends:
        return f"profile {profile} runs it on the backend {config.backend}, which this Triton has not"
    filename = config.default_model_filename or _DEFAULT_FILENAMES.get(config.backend, "")
    if not list(model.glob(f"[0-9]*/{filename}")):
        source = f"MODEL={ensemble}" if ensemble in _OFFICIAL else "MODEL_DIR=<its Paddle inference model>"
        options = f"{source}{_EXPORT_OPTIONS.get(filename, '')}"
        return f"{model.name}/1/{filename} is absent: make export {options}"
    return ""


def _read(path: Path) -> ModelConfig:
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), ModelConfig())
    except text_format.ParseError as error:
        raise ServerError(f"{path} is not a Triton model configuration: {error}") from None
