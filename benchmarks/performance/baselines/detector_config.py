"""The configuration of a detector in a profile, read from the model repository."""

from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from benchmarks.performance.errors import BenchmarkError
from sod.interface import PIXELS

_FILENAMES = {"onnxruntime": "model.onnx", "openvino": "model.xml", "paddle": "inference.json"}


@dataclass(frozen=True, slots=True)
class DetectorConfig:
    """A detector in a profile.

    Attributes:
        name: of its folder in the model repository.
        backend: Triton's name of the backend.
        file: the network.
        size: (height, width) of the input in pixels.
        outputs: names of the outputs, in order.
        parameters: of the backend, by name.
        graph_level: `optimization { graph { level } }`; 0 if it is not set.
    """

    name: str
    backend: str
    file: Path
    size: tuple[int, int]
    outputs: tuple[str, ...]
    parameters: dict[str, str]
    graph_level: int

    @property
    def precision(self) -> str:
        """FP32, BF16 or INT8."""
        if "int8" in self.file.name:
            return "INT8"
        return "BF16" if self.bf16 else "FP32"

    @property
    def bf16(self) -> bool:
        """Whether floating-point layers compute in BF16: all of a BF16 network, the unquantised ones of INT8."""
        return self.parameters.get("HINT_BF16", "").upper() == "YES"


def read_detector(repository: Path, ensemble: str, profile: str) -> DetectorConfig:
    """The detector of an ensemble, with the configuration that Triton would load.

    Args:
        repository: model repository.
        ensemble: name of the ensemble.
        profile: under which the detector is served.

    Raises:
        BenchmarkError: the repository has no such ensemble, or lacks the network's file.
    """
    steps = _read(repository / ensemble / "config.pbtxt").ensemble_scheduling.step
    names = [step.model_name for step in steps if step.model_name.endswith("_detector")]
    if not names:
        raise BenchmarkError(f"{ensemble} in {repository} is not an ensemble with a detector")
    folder = repository / names[0]
    own = folder / "configs" / f"{profile}.pbtxt"
    config = _read(own if own.is_file() else folder / "config.pbtxt")
    filename = config.default_model_filename or _FILENAMES.get(config.backend, "")
    files = sorted(folder.glob(f"[0-9]*/{filename}"))
    if not files:
        raise BenchmarkError(f"{folder.name} has no {filename}, which profile {profile} needs: make export")
    height, width = next([int(d) for d in tensor.dims[:2]] for tensor in config.input if tensor.name == PIXELS)
    return DetectorConfig(
        names[0],
        config.backend,
        files[-1],
        (height, width),
        tuple(output.name for output in config.output),
        {name: value.string_value for name, value in config.parameters.items()},
        config.optimization.graph.level,
    )


def class_count(repository: Path, ensemble: str) -> int:
    """The number of classes of an ensemble."""
    config = _read(repository / ensemble / "config.pbtxt")
    return next(int(tensor.dims[0]) for tensor in config.input if tensor.name == "score_threshold")


def _read(path: Path) -> ModelConfig:
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), ModelConfig())
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be read: {error.strerror}") from None
    except text_format.ParseError as error:
        raise BenchmarkError(f"{path} is not a Triton model configuration: {error}") from None
