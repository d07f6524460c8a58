"""The sources of the demo's training images: their splits, and the classes that their labels leave out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from sod.datasets.class_names import VISDRONE_CLASSES
from sod.datasets.dataset import LabelledImage
from sod.datasets.findings import Findings
from sod.datasets.reader import open_dataset, read_one_split

CLASSES = VISDRONE_CLASSES
"""The demo's classes by id."""

Split = Literal["train", "validation", "unused"]

_BLOCK = 250  # consecutive frame numbers of HIT-UAV that go to one split
_VALIDATION_EVERY = 7  # blocks
_GUARD = 25  # unused frames on either side of a validation block


@dataclass(frozen=True, slots=True)
class Source:
    """A set of labelled images in YOLO's format.

    Attributes:
        folder: its name in the data folder.
        unlabelled: classes that appear in the images without labels. They are excluded from the loss and from the
            evaluation.
        split: gives the split of an image by its file name without suffix.
    """

    folder: str
    unlabelled: frozenset[str]
    split: Callable[[str], Split]

    def samples(self, data: Path, split: Split) -> list[LabelledImage]:
        """The labelled images of a split, sorted by name.

        Raises:
            DatasetError: the labels have errors.
        """
        findings = Findings()
        images = read_one_split(open_dataset(data / self.folder, "yolo"), findings).images
        findings.stop_at_errors(data / self.folder)
        return sorted((s for s in images if self.split(s.image.stem) == split), key=lambda s: s.image.name)

    def labelled(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Whether the source labels all objects of a class, bool [10]."""
        return np.array([name not in self.unlabelled for name in CLASSES])


def thermal_split(stem: str) -> Split:
    """HIT-UAV: every seventh block of 250 frame numbers is for validation; 25 frames around it are unused.

    Args:
        stem: `day_height_angle_weather_frame`.
    """
    frame = int(stem.rsplit("_", 1)[1])
    if _in_validation_block(frame):
        return "validation"
    near = _in_validation_block(frame - _GUARD) or _in_validation_block(frame + _GUARD)
    return "unused" if near else "train"


def _in_validation_block(frame: int) -> bool:
    return frame // _BLOCK % _VALIDATION_EVERY == 3


def aerial_split(stem: str) -> Split:
    """aerial-cars: two whole scenes, one of each photographer, are for validation."""
    return "validation" if stem.startswith(("MunichStreet02-", "DJI_0762-")) else "train"


def street_split(stem: str) -> Split:
    """ATL: the last of its four views is for validation."""
    return "validation" if stem.startswith("D") else "train"


def scene_split(stem: str) -> Split:
    """Drawn scenes: seeds that end in 0 are for validation; no two seeds give the same scene."""
    return "validation" if stem.endswith("0") else "train"


THERMAL = Source("hit_uav_thermal", frozenset({"people", "motorcycle"}), thermal_split)
AERIAL = Source(
    "jekhor_aerial_cars",
    frozenset({"pedestrian", "people", "bicycle", "tricycle", "awning-tricycle", "motorcycle"}),
    aerial_split,
)
STREET = Source(
    "atl_v2_street",
    frozenset({"pedestrian", "people", "bicycle", "van", "tricycle", "awning-tricycle", "motorcycle"}),
    street_split,
)
SCENES = Source("scenes", frozenset(), scene_split)
ALL_SOURCES = (THERMAL, AERIAL, STREET, SCENES)
