"""Chooses the COCO JSON file of each split: `annotations/instances_val2017.json`, or Roboflow's in each folder.

Source: COCO 2017, which ships captions, keypoints and image lists beside the files with boxes.
"""

from collections.abc import Sequence
from pathlib import Path

from sod.datasets.errors import DatasetError
from sod.datasets.files import ALL, belongs, split_of, words

_WITHOUT_BOXES = frozenset({"captions", "panoptic", "stuff", "info"})
_OTHER_FILES = frozenset({"MANIFEST.json", "package.json"})


def find_coco_files(folder: Path) -> dict[str, Path]:
    """The JSON file of each split; empty if the folder has none.

    Raises:
        DatasetError: several files may be the one of a split.
    """
    found = [f for pattern in ("annotations/*.json", "*.json", "*/*.coco.json") for f in sorted(folder.glob(pattern))]
    files = [f for f in dict.fromkeys(found) if belongs(f, folder) and f.name not in _OTHER_FILES]
    by_split: dict[str, list[Path]] = {}
    for file in files:
        if not _WITHOUT_BOXES & set(words(file.stem)):
            by_split.setdefault(file_split(file, folder), []).append(file)
    chosen = {split: _choose(candidates) for split, candidates in by_split.items()}
    for split, candidates in chosen.items():
        if len(candidates) > 1:
            names = ", ".join(str(f.relative_to(folder)) for f in candidates)
            of = "the data set" if split == ALL else split
            raise DatasetError(
                f"{folder} holds {names}, and any of them may hold the boxes of {of}: keep one, or give each a name "
                "with train, val or test in it"
            )
    if len(chosen) > 1 and ALL in chosen:
        # A file without a split in its name, beside train or val: COCO's names would say what it is.
        unnamed = chosen.pop(ALL)
        if "train" not in chosen:
            chosen["train"] = unnamed
    return {split: candidates[0] for split, candidates in chosen.items()}


def file_split(file: Path, folder: Path) -> str:
    """The split that the name of a file states, or that of its folder within the data set."""
    return split_of(file.stem) or (split_of(file.parent.name) if file.parent != folder else None) or ALL


def _choose(files: Sequence[Path]) -> Sequence[Path]:
    """Those of several files that hold the boxes: `instances` before others, keypoints last."""
    instances = [file for file in files if "instances" in words(file.stem)]
    return instances or [file for file in files if "keypoints" not in words(file.stem)] or files
