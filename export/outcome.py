"""What is asked of an export, and what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from export.precision import LIMITS, Limits, Precision, Target, applicable
from export.step_timer import Step, format_steps
from export.tensorrt.compile_check import TURING, CompileReport
from export.triton.templates import DEFAULT_OPTIONS, ServingOptions
from export.verification.accuracy_check import Measured, format_table


@dataclass(frozen=True, slots=True)
class Request:
    """What to make, and where.

    Attributes:
        output_dir: a Triton model repository.
        targets: what will load it.
        precisions: empty for all that a target has.
        with_paddle: also install `inference.json` and `inference.pdiparams`, for the profile `cpu_regular`.
        capabilities: GPUs that TARGET=tensorrt-check compiles for.
        cache_dir: keeps references and timing caches.
        limits: what passes, by precision.
        options: of the configuration.
    """

    output_dir: Path
    targets: Sequence[Target] = (Target.ONNX,)
    precisions: Sequence[Precision] = ()
    with_paddle: bool = True
    capabilities: Sequence[str] = (TURING,)
    cache_dir: Path = Path(".cache/export")
    limits: Mapping[Precision, Limits] = field(default_factory=lambda: LIMITS)
    options: ServingOptions = DEFAULT_OPTIONS

    def wants(self, target: Target, precision: Precision) -> bool:
        """Whether this combination exists and was asked for."""
        return target in self.targets and precision in applicable(target, self.precisions)

    def reference_path(self, name: str) -> Path:
        """Where the reference of a model's FP16 detector is kept for its plan."""
        return self.cache_dir / name / "reference.npz"


@dataclass(slots=True)
class Outcome:
    """What came of one model's export.

    Attributes:
        name: the model's.
        measured: every artefact beside its limits.
        compiled: what TensorRT's compiler took.
        skipped: what was left out, and why.
        failures: a sentence for each artefact that was refused, and so not installed.
        written: the files installed.
        steps: what each step took.
    """

    name: str
    measured: list[Measured] = field(default_factory=list)
    compiled: list[CompileReport] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    def __str__(self) -> str:
        """For the terminal."""
        parts = [format_table(self.measured)] if self.measured else []
        parts += [str(report) for report in self.compiled]
        parts += [f"left out: {why}" for why in self.skipped]
        return "\n".join([*parts, format_steps(self.steps)])
