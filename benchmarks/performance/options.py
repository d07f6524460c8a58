"""What is to be measured, and how long."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CPU_PROFILES = ("cpu_high_performance", "cpu_bf16", "cpu_int8", "cpu_regular")
GPU_PROFILES = ("gpu_high_performance", "gpu_regular")
SECTIONS = ("load", "requests", "stages", "perf_analyzer", "accuracy", "soak")
# Concurrencies that the targets are about.
LATENCY, LOADED, CROWDED = 1, 8, 16


@dataclass(frozen=True, slots=True)
class Options:
    """Of one run.

    Attributes:
        repository: model repository.
        models: ensembles.
        profiles: under which they are served.
        images: encoded ones; the first is the one that the targets are about.
        labels: labelled images for the accuracy of each precision, as `sod eval` takes them; None for none.
        paddlex: folder of Paddle inference models for PaddleX; None leaves it out.
        sections: of `SECTIONS`.
        concurrency: numbers of clients.
        rounds: of all contestants in turn.
        seconds: of each turn.
        threshold: score threshold of every class.
        soak_minutes: of load at concurrency 8 while memory is watched; 0 for none.
        out: folder of the results.
        quick: whether the run was cut short, and says little.
    """

    repository: Path
    models: tuple[str, ...]
    profiles: tuple[str, ...]
    images: tuple[Path, ...]
    labels: Path | None
    paddlex: Path | None
    sections: tuple[str, ...]
    concurrency: tuple[int, ...]
    rounds: int
    seconds: float
    threshold: float
    soak_minutes: float
    out: Path
    quick: bool

    def as_dict(self) -> dict[str, Any]:
        """For JSON; of paths their names, for they say nothing elsewhere."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return value.name
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
