"""What an export is asked to do, and its result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from export.precision import LIMITS, Limits, Precision, Target, applicable
from export.serving_options import DEFAULT_OPTIONS, ServingOptions
from export.step_timer import Step, steps_table
from export.tensorrt.compile_check import TURING, CompileReport
from export.verification.accuracy_check import AccuracyResult, accuracy_table


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What to make, and where.

    Attributes:
        output_dir: a Triton model repository.
        targets: the engines to export for.
        precisions: the precisions to make; empty for all of each target.
        with_paddle: also install `inference.json` and `inference.pdiparams`, for the profile `cpu_regular`.
        capabilities: GPUs that the target tensorrt-check compiles for, as names of compute capabilities.
        cache_dir: keeps reference outputs and TensorRT's timing caches.
        limits: limits of the accuracy check by precision.
        options: choices of the Triton configuration.
        edge_dir: the folder for the target edge; None for `output/edge/<model name>-<precision>`.
        web_app: whether the target edge also writes the web app.
        made_up_image: whether the accuracy is measured on a synthetic image, because the user gave none.
    """

    output_dir: Path
    targets: Sequence[Target] = (Target.ONNX,)
    precisions: Sequence[Precision] = ()
    with_paddle: bool = True
    capabilities: Sequence[str] = (TURING,)
    cache_dir: Path = Path(".cache/export")
    limits: Mapping[Precision, Limits] = field(default_factory=lambda: LIMITS)
    options: ServingOptions = DEFAULT_OPTIONS
    edge_dir: Path | None = None
    web_app: bool = True
    made_up_image: bool = False

    def includes(self, target: Target, precision: Precision) -> bool:
        """Whether this combination exists and was requested."""
        return target in self.targets and precision in applicable(target, self.precisions)

    def edge_folder(self, name: str, precision: Precision) -> Path:
        """The folder that the target edge writes."""
        return self.edge_dir or Path("output/edge") / f"{name}-{precision}"

    def reference_path(self, name: str) -> Path:
        """Where the reference outputs of a model's FP16 detector are kept for its TensorRT plan."""
        return self.cache_dir / name / "reference.npz"


@dataclass(slots=True)
class ExportResult:
    """The result of one model's export.

    Attributes:
        name: the model's name.
        accuracy: the accuracy check of each artefact.
        compiled: the reports of TensorRT's compiler.
        skipped: a sentence for each artefact that was not made, with the reason.
        failures: a sentence for each artefact that failed a check and was not installed, where nothing of its target
            passed.
        left_out: a sentence for each artefact that failed a check beside another one of its target that passed.
        installed: the files written to the repository.
        steps: what each step took.
    """

    name: str
    accuracy: list[AccuracyResult] = field(default_factory=list)
    compiled: list[CompileReport] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    installed: list[Path] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    def __str__(self) -> str:
        """The summary for the terminal."""
        parts = [accuracy_table(self.accuracy).text()] if self.accuracy else []
        parts += [str(report) for report in self.compiled]
        parts += [f"skipped: {reason}" for reason in self.skipped]
        return "\n".join([*parts, steps_table(self.steps).text()])
