"""What a day with a GPU measures, and for how long."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Seconds that each step may take; together they leave half a minute of ten for starting and for the report.
BUDGETS = {"machine": 20, "detector": 150, "tensorrt": 100, "gateway": 220, "slices": 80}
STEPS = tuple(BUDGETS)
MODELS = ("PP-YOLOE_plus_SOD-S", "PP-YOLOE_plus_SOD-L")
BATCHES = (1, 2, 4, 8)
FILES = {"FP32": "model.onnx", "FP16": "model_fp16.onnx"}


@dataclass(frozen=True, slots=True)
class Options:
    """Options of one run.

    Attributes:
        pretend: run everything in ONNX Runtime's CPU provider.
        models: ensembles; those whose files are absent are lines of the report.
        repository: model repository, which is only read.
        image: encoded image that is sent.
        folder: for logs, copies of the models and results.
        seconds: duration of one measurement under load.
    """

    pretend: bool
    models: tuple[str, ...]
    repository: Path
    image: Path
    folder: Path
    seconds: float

    @property
    def provider(self) -> str:
        """ONNX Runtime's execution provider."""
        return "CPUExecutionProvider" if self.pretend else "CUDAExecutionProvider"

    @property
    def profile(self) -> str:
        """The launcher's profile, in which the detectors run in ONNX Runtime."""
        return "cpu_high_performance" if self.pretend else "gpu_regular"

    def to_json(self) -> dict[str, Any]:
        """For the process of a step."""
        paths = {name: str(getattr(self, name)) for name in ("repository", "image", "folder")}
        return {"pretend": self.pretend, "models": self.models, "seconds": self.seconds, **paths}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Options":
        """The reverse of `to_json`."""
        paths = {name: Path(fields[name]) for name in ("repository", "image", "folder")}
        return cls(pretend=fields["pretend"], models=tuple(fields["models"]), seconds=fields["seconds"], **paths)
