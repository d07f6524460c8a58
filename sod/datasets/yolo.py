"""Reads data sets in YOLO's layout, as Ultralytics and Roboflow write it, and VisDrone's, which differs in its lines.

A `data.yaml` names the images of each split. Without one they are looked for in `images/train`, `train/images`,
`images` and so on, or beside their label files; the class names are then in `classes.txt`, or not known.
The label file of an image is in the folder `labels` (VisDrone: `annotations`) in place of `images`, or beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sod.datasets.box_validation import UncheckedImage
from sod.datasets.class_names import VISDRONE_CLASSES
from sod.datasets.data_yaml import NAMES, DataYaml, find_data_yaml, read_data_yaml
from sod.datasets.errors import DatasetError
from sod.datasets.files import ALL, SPLIT_FOLDERS, SUFFIXES, belongs, list_files, read_text, split_of
from sod.datasets.findings import Findings
from sod.datasets.text_labels import is_visdrone, read_visdrone_labels, read_yolo_labels

_LABEL_FOLDERS = ("labels", "annotations")
_NOT_LABELS = frozenset({"classes.txt", "train.txt", "val.txt", "valid.txt", "test.txt"})


@dataclass(frozen=True, slots=True)
class TextSource:
    """A data set with one label file for each image.

    Attributes:
        folder: the data set.
        yaml: its data.yaml, if it has one.
        places: the folders with images and the text files that list them, by split.
        kind: format of the lines.
        labels: the folder of the label files; None finds it from the place of each image.
    """

    folder: Path
    yaml: DataYaml | None
    places: dict[str, tuple[Path, ...]]
    kind: Literal["yolo", "visdrone"]
    labels: Path | None = None

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the data set has."""
        return tuple(self.places)

    def class_names(self) -> tuple[str, ...] | None:
        """The class names by id; None if no file states them."""
        if self.yaml:
            return self.yaml.names
        if self.kind == "visdrone":
            return VISDRONE_CLASSES
        file = next((f for f in (self.folder / "classes.txt", self.folder / "labels/classes.txt") if f.is_file()), None)
        if file is None:
            return None
        names = tuple(line.strip() for line in read_text(file).rstrip().splitlines())
        if not names:
            raise DatasetError(f"{file} is empty: write the class names, one per line, in the order of their ids")
        return names

    def read(
        self, splits: Sequence[str], findings: Findings
    ) -> tuple[tuple[str, ...] | None, dict[str, list[UncheckedImage]]]:
        """The class names, and the images of the splits.

        Raises:
            DatasetError: a split has no image, or a file of the data set cannot be read.
        """
        names = self.class_names()
        unlabelled = self._unlabelled(findings)
        return names, {split: self._read_split(split, unlabelled, findings) for split in splits}

    def _unlabelled(self, findings: Findings) -> frozenset[int]:
        if self.yaml is None:
            return frozenset()
        names = self.yaml.names
        if unknown := [name for name in self.yaml.unlabelled if name not in names]:
            where = f"{self.yaml.file}: unlabelled {', '.join(unknown)}"
            findings.error("unknown class marked as unlabelled", where)
        return frozenset(names.index(name) for name in self.yaml.unlabelled if name in names)

    def _read_split(self, split: str, unlabelled: frozenset[int], findings: Findings) -> list[UncheckedImage]:
        images: dict[Path, None] = {}
        for place in self.places[split]:
            if place.is_dir():
                found = list_files(place, SUFFIXES)
                self._check_orphans(place, found, findings)
            else:
                found = _listed(place, self.folder, findings)
            images |= dict.fromkeys(found)
        if not images:
            places = ", ".join(map(str, self.places[split]))
            raise DatasetError(f"{places} contains no image ({', '.join(sorted(SUFFIXES))})")
        return [self._read_image(image, unlabelled, findings) for image in images]

    def _read_image(self, image: Path, unlabelled: frozenset[int], findings: Findings) -> UncheckedImage:
        text = self._label_file(image)
        if not text.is_file():
            findings.warning("image without a label file, taken to hold no object", str(image))
            text = Path("/dev/null")
        if self.kind == "visdrone":
            return read_visdrone_labels(text, image, findings)
        keypoints = self.yaml is not None and self.yaml.keypoints
        return read_yolo_labels(text, image, findings, keypoints=keypoints, unlabelled=unlabelled)

    def _label_file(self, image: Path) -> Path:
        if self.labels is None:
            return label_file(image)
        place = next((p for places in self.places.values() for p in places if p in image.parents), image.parent)
        return self.labels / image.relative_to(place).with_suffix(".txt")

    def _check_orphans(self, place: Path, images: Sequence[Path], findings: Findings) -> None:
        """Report the label files below the folder of a split's labels that belong to no image."""
        labels = self.labels or label_file(place / "any.jpg").parent
        if not labels.is_dir() or labels == self.folder:
            return
        expected = {self._label_file(image) for image in images}
        for text in list_files(labels, [".txt"]):
            if text not in expected and text.name not in _NOT_LABELS:
                findings.error("label of no image", str(text))


def label_file(image: Path) -> Path:
    """The label file of an image: in `labels` or `annotations` in place of the last folder `images`, else beside it."""
    parts = image.parts
    last = max((i for i, part in enumerate(parts) if part == "images"), default=None)
    if last is not None:
        for name in _LABEL_FOLDERS:
            if Path(*parts[:last], name).is_dir():
                return Path(*parts[:last], name, *parts[last + 1 :]).with_suffix(".txt")
    return image.with_suffix(".txt")


def _listed(file: Path, folder: Path, findings: Findings) -> list[Path]:
    """The images that a text file lists, one per line, relative to the file or to the data set."""
    images = []
    for number, line in enumerate(read_text(file).splitlines(), 1):
        if not line.strip():
            continue
        written = Path(line.strip().replace("\\", "/"))
        found = next((p for p in (file.parent / written, folder / written) if p.is_file()), None)
        if found is None:
            findings.error("missing image", f"{file}:{number}: {file.parent / written}")
        else:
            images.append(found)
    return images


def open_yolo(
    path: Path, kind: Literal["yolo", "visdrone"] | None = None, images: Path | None = None
) -> TextSource | None:
    """Recognise a folder of images with label files, or its data.yaml; None if `path` is neither.

    Args:
        path: the folder, or a data.yaml.
        kind: format of the lines; None recognises it.
        images: folder of the images, where they are not beside the labels.

    Raises:
        DatasetError: data.yaml cannot be used, or names what does not exist.
    """
    folder = path if path.is_dir() else path.parent
    yaml_file = path if path.is_file() else _yaml_of(path)
    yaml = read_data_yaml(yaml_file) if yaml_file and kind != "visdrone" else None
    if images is not None:
        labels = next((f for n in _LABEL_FOLDERS if (f := folder / n).is_dir()), folder)
        return TextSource(folder, yaml, {ALL: (images,)}, kind or _kind(list_files(labels, [".txt"])), labels)
    if yaml and yaml.splits and yaml.file.parent == folder:
        return TextSource(folder, yaml, _named_places(yaml), "yolo")
    places = _customary_places(folder)
    if not places:
        if yaml and yaml.file.parent == folder:
            raise DatasetError(f"{yaml.file} names no images: add train and val")
        return None
    texts = [label_file(image) for split in places.values() for place in split for image in list_files(place, SUFFIXES)]
    return TextSource(folder, yaml, places, kind or _kind(texts))


def _yaml_of(folder: Path) -> Path | None:
    """The data.yaml of a data set, also from the folder of one of its splits (`valid/`, `images/val/`)."""
    if found := find_data_yaml(folder):
        return found
    above = [parent / name for parent in folder.resolve().parents[:2] for name in NAMES]
    in_split = split_of(folder.resolve().name) is not None or folder.name == "images"
    return next((file for file in above if file.is_file()), None) if in_split else None


def _named_places(yaml: DataYaml) -> dict[str, tuple[Path, ...]]:
    """The places that data.yaml names. A test split may be missing, as in Roboflow's exports."""
    places: dict[str, tuple[Path, ...]] = {}
    for split, entries in yaml.splits.items():
        try:
            places[split] = tuple(yaml.resolve(entry) for entry in entries)
        except DatasetError:
            if split != "test":
                raise
    return places


def _customary_places(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Folders of images by split: `images/train`, `train/images`, `VisDrone2019-DET-train/images`; else one for all."""
    places: dict[str, tuple[Path, ...]] = {}
    for split, names in SPLIT_FOLDERS.items():
        named = [folder / place for name in names for place in (f"images/{name}", f"{name}/images")]
        others = [f / "images" for f in sorted(folder.iterdir()) if belongs(f, folder) and split_of(f.name) == split]
        if found := next((place for place in [*named, *others] if place.is_dir()), None):
            places[split] = (found,)
    if places:
        return places
    flat = folder / "images" if (folder / "images").is_dir() else folder
    return {ALL: (flat,)} if any(label_file(image).is_file() for image in list_files(flat, SUFFIXES)) else {}


def _kind(texts: Sequence[Path]) -> Literal["yolo", "visdrone"]:
    answers = (is_visdrone(text) for text in texts if text.is_file())
    return "visdrone" if next((answer for answer in answers if answer is not None), False) else "yolo"
