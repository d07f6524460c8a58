"""What a run of `sod bench batch` measures."""

from dataclasses import dataclass
from pathlib import Path

SECTIONS = ("throughput", "memory", "kills", "cluster")


@dataclass(frozen=True, slots=True)
class Options:
    """Options of one run.

    Attributes:
        sections: names from `SECTIONS`.
        model: ensemble of the sections `throughput` and `kills`.
        profile: in which it is served.
        url: a running gateway for `throughput`; None starts one.
        images: folder of JPEG files, which are used repeatedly under other names; None for synthetic ones.
        count: images of `throughput`.
        counts: images of the two runs of `memory`, the smaller number first.
        killed_count: images of `kills`.
        kills: their number.
        cluster_count: images of `cluster`.
        rounds: of `throughput`.
        concurrency: requests at once.
        sleep_s: seconds that the stand-in takes for an image in `cluster`.
        seed: of the moments of the kills.
        folder: for images, datasets and logs.
        json: file for the figures; None for none.
    """

    sections: tuple[str, ...]
    model: str
    profile: str
    url: str | None
    images: Path | None
    count: int
    counts: tuple[int, int]
    killed_count: int
    kills: int
    cluster_count: int
    rounds: int
    concurrency: int
    sleep_s: float
    seed: int
    folder: Path
    json: Path | None
