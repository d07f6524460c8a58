"""What a run of `sod bench watch` measures."""

from dataclasses import dataclass
from pathlib import Path

SECTIONS = ("tracking", "counting", "lag", "memory", "cpu", "throughput", "detector", "still")
NEEDS_SERVER = ("throughput", "detector", "still")


@dataclass(frozen=True, slots=True)
class Options:
    """Options of one run.

    Attributes:
        sections: names from `SECTIONS`.
        model: ensemble of the sections that need a server.
        profile: in which it is served.
        url: a running gateway; None starts one.
        seconds: length of the drawn film.
        film_seed: its seed.
        seeds: number of made streets in the sections `tracking` and `counting`.
        lag_seconds: length of the stream in the section `lag`.
        stream_seconds: length of the stream in the section `memory`, at its own speed.
        rounds: how often throughput is measured.
        concurrency: requests at once.
        folder: for the film, which is drawn once.
        json: file for the figures; None for none.
    """

    sections: tuple[str, ...]
    model: str
    profile: str
    url: str | None
    seconds: float
    film_seed: int
    seeds: int
    lag_seconds: float
    stream_seconds: float
    rounds: int
    concurrency: int
    folder: Path
    json: Path | None
