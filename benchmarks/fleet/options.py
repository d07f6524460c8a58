"""What a run of `sod bench fleet` measures."""

from dataclasses import dataclass
from pathlib import Path

SECTIONS = ("kill", "freeze", "rolling", "slow", "dns", "scaling")


@dataclass(frozen=True, slots=True)
class Options:
    """Options of one run.

    Attributes:
        sections: names from `SECTIONS`.
        clients: of the closed loop in every section but `scaling`.
        seconds: duration of one measurement.
        rounds: how often what is compared is measured.
        sleep_s: seconds that the stand-in detector takes for an image.
        counts: numbers of Tritons in section `scaling`; the first is the unit.
        folder: for logs and the model repositories of the stand-in.
        json: file for the figures; None for none.
    """

    sections: tuple[str, ...]
    clients: int
    seconds: float
    rounds: int
    sleep_s: float
    counts: tuple[int, ...]
    folder: Path
    json: Path | None
