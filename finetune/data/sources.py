"""The openly licensed images: which are held out, and which classes their labels leave out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.evaluation.datasets import Sample, read_dataset

CLASSES = (
    "pedestrian", "people", "bicycle", "car", "van", "truck", "tricycle", "awning-tricycle", "bus", "motorcycle",
)  # fmt: skip

_BLOCK = 250  # running frame numbers of HIT-UAV
_HELD_OUT_EVERY = 7
_GUARD = 25  # frames on either side of a held-out block that are used for nothing


@dataclass(frozen=True, slots=True)
class Source:
    """One set of images.

    Attributes:
        folder: its name in the data folder.
        unlabelled: classes that are in the images and not in the labels; not finding them is no mistake there, nor
            is finding them.
        part: "train", "held out" or "" (used for nothing) of a file name without suffix.
    """

    folder: str
    unlabelled: frozenset[str]
    part: Callable[[str], str]

    def samples(self, data: Path, part: str) -> list[Sample]:
        """The labelled images of a part, by name."""
        found = read_dataset(data / self.folder, "yolo").samples
        return sorted((s for s in found if self.part(s.image.stem) == part), key=lambda s: s.image.name)

    def labelled(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Whether a class is labelled wherever it is seen, bool [10]."""
        return np.array([name not in self.unlabelled for name in CLASSES])


def thermal_part(stem: str) -> str:
    """HIT-UAV: blocks of 250 running frame numbers, every seventh held out, 25 frames around it left out.

    Args:
        stem: `day_height_angle_weather_frame`.
    """
    frame = int(stem.rsplit("_", 1)[1])
    if _is_held_out(frame):
        return "held out"
    return "" if _is_held_out(frame - _GUARD) or _is_held_out(frame + _GUARD) else "train"


def _is_held_out(frame: int) -> bool:
    return frame // _BLOCK % _HELD_OUT_EVERY == 3


def aerial_part(stem: str) -> str:
    """aerial-cars: two scenes held out whole, one of each photographer."""
    return "held out" if stem.startswith(("MunichStreet02-", "DJI_0762-")) else "train"


def street_part(stem: str) -> str:
    """ATL: the last of its four views held out."""
    return "held out" if stem.startswith("D") else "train"


THERMAL = Source("hit_uav_thermal", frozenset({"people", "motorcycle"}), thermal_part)
AERIAL = Source(
    "jekhor_aerial_cars",
    frozenset({"pedestrian", "people", "bicycle", "tricycle", "awning-tricycle", "motorcycle"}),
    aerial_part,
)
STREET = Source(
    "atl_v2_street",
    frozenset({"pedestrian", "people", "bicycle", "van", "tricycle", "awning-tricycle", "motorcycle"}),
    street_part,
)
SOURCES = (THERMAL, AERIAL, STREET)
