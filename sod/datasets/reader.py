"""Reads labelled images from a folder or file in any of the formats."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol, get_args

from sod.datasets.box_validation import UncheckedImage, validated
from sod.datasets.class_names import check_names
from sod.datasets.coco import open_coco
from sod.datasets.dataset import Dataset
from sod.datasets.errors import DatasetError
from sod.datasets.files import ALL, list_files
from sod.datasets.findings import Findings
from sod.datasets.voc import open_voc
from sod.datasets.yolo import open_yolo

Format = Literal["coco", "visdrone", "voc", "yolo"]
FORMATS: tuple[Format, ...] = get_args(Format)
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
_SHOWN = "docs/datasets.md shows the layouts of COCO, YOLO, VOC and VisDrone"


class Source(Protocol):
    """A data set that was recognised, not yet read."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that it has: train, val, test, or `ALL`."""

    def read(
        self, splits: Sequence[str], findings: Findings
    ) -> tuple[tuple[str, ...] | None, dict[str, list[UncheckedImage]]]:
        """The class names by id, None if no file states them, and the images of the splits."""


def open_dataset(path: Path, kind: Format | None = None, images: Path | None = None) -> Source:
    """Recognise a data set.

    Args:
        path: a folder, a COCO JSON file, or a data.yaml.
        kind: its format; None recognises it.
        images: folder of the images, where they are not beside the labels.

    Raises:
        DatasetError: it is in none of the formats, or not in `kind`.
    """
    if not path.exists():
        raise DatasetError(f"{path} does not exist: give the folder of a data set, a COCO JSON file or a data.yaml")
    if images is not None and not images.is_dir():
        raise DatasetError(f"{images} is not a folder of images")
    source: Source | None = None
    if path.is_file():
        if path.suffix.lower() == ".json" and kind in (None, "coco"):
            source = open_coco(path, images)
        elif path.suffix.lower() in (".yaml", ".yml") and kind in (None, "yolo"):
            source = open_yolo(path, "yolo", images)
    elif kind is None:
        # data.yaml comes first, since it says where everything is.
        has_yaml = (path / "data.yaml").is_file() or (path / "data.yml").is_file()
        source = (
            (open_yolo(path, images=images) if has_yaml else None)
            or open_coco(path, images)
            or open_voc(path, images)
            or open_yolo(path, images=images)
        )
    elif kind == "coco":
        source = open_coco(path, images)
    elif kind == "voc":
        source = open_voc(path, images)
    else:
        source = open_yolo(path, kind, images)
    if source is None:
        wanted = f"{kind.upper()} data" if kind else "labelled images"
        raise DatasetError(f"{path} holds no {wanted}: {_SHOWN}{_nested(path)}")
    return source


def _nested(path: Path) -> str:
    """A hint where the data set lies one folder deeper, as in some archives."""
    if not path.is_dir():
        return ""
    inner = [f for f in sorted(path.iterdir()) if f.is_dir() and list_files(f, [".json", ".yaml", ".xml", ".txt"])]
    return f"; did you mean {inner[0]}?" if len(inner) == 1 else ""


def read_splits(source: Source, splits: Sequence[str], findings: Findings) -> dict[str, Dataset]:
    """Read splits of a data set; labels and images with faults are left out and reported.

    Args:
        source: from `open_dataset`.
        splits: some of `source.splits`; the first one has the order of COCO's classes.
        findings: receives what is wrong.

    Raises:
        DatasetError: a file of the data set cannot be used at all.
    """
    names, unchecked = source.read(splits, findings)
    if names is not None:
        check_names(names, "the data set", findings)
    return {
        split: Dataset(tuple(validated(images, None if names is None else len(names), findings)), names)
        for split, images in unchecked.items()
    }


def read_one_split(source: Source, findings: Findings, split: str | None = None) -> Dataset:
    """Read the split on which accuracy is measured.

    Args:
        source: from `open_dataset`.
        findings: receives what is wrong, and a note that says which split was taken.
        split: train, val or test; None takes the first of val, test and train that the data set has.

    Raises:
        DatasetError: there is no such split, or a file of the data set cannot be used at all.
    """
    order = ("val", "test", ALL, "train") if split is None else (split,)
    chosen = next((name for name in order if name in source.splits), None)
    if chosen is None:
        has = ", ".join(source.splits) if source.splits != (ALL,) else "no splits"
        raise DatasetError(f"there is no split {split}: the data set has {has}")
    if len(source.splits) > 1 and split is None:
        has = ", ".join(name for name in SPLITS if name in source.splits)
        findings.note(f"measured on the split {chosen} (the data set has {has})")
    return read_splits(source, [chosen], findings)[chosen]
