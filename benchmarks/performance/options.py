"""What a run measures, and for how long."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CPU_PROFILES = ("cpu_high_performance", "cpu_bf16", "cpu_int8", "cpu_regular")
GPU_PROFILES = ("gpu_high_performance", "gpu_regular")
SECTIONS = ("load", "requests", "stages", "perf_analyzer", "accuracy", "soak")
# The concurrencies to which the targets refer: of latency, of throughput, and of a queue that is twice as long.
LATENCY_CLIENTS, LOAD_CLIENTS, PEAK_CLIENTS = 1, 8, 16


@dataclass(frozen=True, slots=True)
class Options:
    """Options of one run.

    Attributes:
        repository: model repository.
        models: names of the ensembles; empty for all that can be served.
        profiles: in which the ensembles are served.
        images: image files; the targets refer to the first.
        labels: labelled images for the accuracy of each precision, as `sod eval` takes them; None for none.
        paddlex: folder of Paddle inference models for PaddleX; None leaves PaddleX out.
        sections: names from `SECTIONS`.
        concurrency: numbers of concurrent clients.
        rounds: how often everything is measured.
        seconds: duration of one measurement.
        threshold: score threshold of every class.
        soak_minutes: minutes of load at concurrency 8 while memory is recorded; 0 for none.
        out: folder of the results.
        quick: whether the run is one short round, whose figures are inaccurate.
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
        """The options for JSON; a path is reduced to its name, because its folders mean nothing on other machines."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return value.name
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
