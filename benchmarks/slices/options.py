"""What a run of `sod bench slices` measures."""

from dataclasses import dataclass
from pathlib import Path

SECTIONS = ("accuracy", "scenes", "merge", "speed", "memory", "latency")
OVERLAP = 0.25
MATCH_THRESHOLD = 0.6
# Settings of the servers: a large image must be accepted however slow the machine is.
PATIENT = {"SOD_REQUEST_TIMEOUT": "1800", "SOD_TASK_TIMEOUT": "600", "SOD_MAX_SLICES": "4096"}


@dataclass(frozen=True, slots=True)
class Options:
    """Options of one run.

    Attributes:
        sections: names from `SECTIONS`.
        repository: model repository.
        model: ensemble of the accuracy, memory and latency.
        speed_model: ensemble of the speed.
        profiles: in which the ensembles are served.
        labels: labelled images of the section `accuracy`; None leaves it out.
        images: folder of these images; None if they lie beside the labels.
        class_name: the class whose AP is compared.
        sizes: sides of slices in pixels.
        rounds: how often everything is measured.
        seconds: duration of one measurement of throughput or latency.
        mosaics: number of mosaics of drawn scenes.
        side: of the square image of the section `memory`, in pixels.
        json: file for the figures; None for none.
    """

    sections: tuple[str, ...]
    repository: Path
    model: str
    speed_model: str
    profiles: tuple[str, ...]
    labels: Path | None
    images: Path | None
    class_name: str
    sizes: tuple[int, ...]
    rounds: int
    seconds: float
    mosaics: int
    side: int
    json: Path | None


def slice_field(width: int, height: int) -> dict[str, object]:
    """The request's field `slice` with the settings that all sections share: PaddleDetection's."""
    return {
        "size": [width, height],
        "overlap": [OVERLAP, OVERLAP],
        "combine": "nms",
        "matchMetric": "ios",
        "matchThreshold": MATCH_THRESHOLD,
    }
