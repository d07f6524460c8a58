"""Reads data sets in Pascal VOC's XML format, as LabelImg, CVAT and Roboflow write it.

Source: the VOC2012 development kit: one XML file per image; `ImageSets/Main/<split>.txt` lists the stems of a split;
objects marked `difficult` are not counted. Coordinates are taken as written; VOC's own begin with 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from sod.datasets.box_validation import UncheckedImage
from sod.datasets.errors import DatasetError
from sod.datasets.files import ALL, SUFFIXES, list_files, read_text, split_of
from sod.datasets.findings import Findings

_XML_FOLDERS = ("Annotations", "annotations", "labels", ".")
_IMAGE_FOLDERS = ("JPEGImages", "images")
_NAME_FILES = ("label_list.txt", "labels.txt", "classes.txt")


@dataclass(frozen=True, slots=True)
class VocSource:
    """A data set in VOC's format.

    Attributes:
        folder: the data set.
        files: the XML files of each split.
        images: folder of the images, if the user named it.
    """

    folder: Path
    files: dict[str, tuple[Path, ...]]
    images: Path | None = None

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the data set has."""
        return tuple(self.files)

    def read(
        self, splits: Sequence[str], findings: Findings
    ) -> tuple[tuple[str, ...] | None, dict[str, list[UncheckedImage]]]:
        """The class names, and the images of the splits.

        The names are those of `label_list.txt`, `labels.txt` or `classes.txt`, else those of all objects, sorted.
        """
        every = dict.fromkeys(file for files in self.files.values() for file in files)
        roots = {file: root for file in every if (root := _parse(file, findings)) is not None}
        found = {_text(one, "name") for root in roots.values() for one in root.iter("object")}
        names = self._names() or tuple(sorted(found))
        read = {
            split: [self._image(file, roots[file], names, findings) for file in self.files[split] if file in roots]
            for split in splits
        }
        return names, read

    def _names(self) -> tuple[str, ...]:
        file = next((self.folder / name for name in _NAME_FILES if (self.folder / name).is_file()), None)
        return tuple(line.strip() for line in read_text(file).splitlines() if line.strip()) if file else ()

    def _image(self, file: Path, root: ElementTree.Element, names: Sequence[str], findings: Findings) -> UncheckedImage:
        boxes, ids, ignored, labels = [], [], [], []
        for number, one in enumerate(root.iter("object"), 1):
            name = _text(one, "name")
            place = f"{file}: object {number} ({name})"
            try:
                corners = [float(_text(one, f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax")]
            except ValueError:
                corners = []
            if not corners:
                findings.error("object without a bndbox of four numbers", place)
            elif name not in names:
                findings.error("unknown class", place)
            else:
                difficult = _text(one, "difficult") == "1"
                boxes.append(corners)
                ids.append(-1 if difficult else names.index(name))
                ignored.append(difficult)
                labels.append(place)
        if any(ignored):
            findings.note("objects marked as difficult are ignored regions, as in VOC")
        return UncheckedImage(
            self._path(file, _text(root, "filename")),
            np.array(boxes, float).reshape(-1, 4),
            np.array(ids, np.int64),
            np.array(ignored, np.bool_),
            labels.__getitem__,
            source=str(file),
            size=_size(root),
        )

    def _path(self, file: Path, filename: str) -> Path:
        """The image of an XML file: the one that it names, else the one with its stem."""
        parents = (file.parent, file.parent.parent, self.folder)
        folders = [self.images] if self.images else [file.parent, *(p / f for p in parents for f in _IMAGE_FOLDERS)]
        written = [Path(filename.replace("\\", "/")).name] if filename else []
        stems = [f"{file.stem}{suffix}" for suffix in sorted(SUFFIXES)]
        places = [folder / name for name in [*written, *stems] for folder in folders]
        return next((place for place in places if place.is_file()), places[0])


def _parse(file: Path, findings: Findings) -> ElementTree.Element | None:
    try:
        root = ElementTree.fromstring(file.read_bytes())  # noqa: S314 - the user's own files; expat bounds entities
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        findings.error("XML file that cannot be read", f"{file}: {error}")
        return None
    if root.tag != "annotation":
        findings.error("XML file without VOC's annotation", f"{file}: its root is {root.tag}")
        return None
    return root


def _text(element: ElementTree.Element, key: str) -> str:
    return (element.findtext(key) or "").strip()


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    width, height = (_text(root, f"size/{key}") for key in ("width", "height"))
    return (int(width), int(height)) if width.isdecimal() and height.isdecimal() and int(width) > 0 else None


def open_voc(folder: Path, images: Path | None = None) -> VocSource | None:
    """Recognise a folder with VOC's XML files, in `Annotations/`, beside the images, or in a folder for each split."""
    parts = {split: f for f in sorted(folder.iterdir()) if f.is_dir() and (split := split_of(f.name))}
    divided = {split: tuple(files) for split, part in parts.items() if (files := list_files(part, [".xml"]))}
    if divided:
        return VocSource(folder, divided, images)
    place = next((p for n in _XML_FOLDERS if (p := folder / n).is_dir() and list_files(p, [".xml"])), None)
    if place is None:
        return None
    files = list_files(place, [".xml"])
    by_stem = {file.stem: file for file in files}
    listed = {split: _listed(folder / f"ImageSets/Main/{split}.txt", by_stem) for split in ("train", "val", "test")}
    return VocSource(folder, {split: found for split, found in listed.items() if found} or {ALL: tuple(files)}, images)


def _listed(file: Path, by_stem: dict[str, Path]) -> tuple[Path, ...]:
    """The XML files whose stems a list of `ImageSets/Main` names."""
    if not file.is_file():
        return ()
    stems = [line.split()[0] for line in read_text(file).splitlines() if line.strip()]
    if missing := [stem for stem in stems if stem not in by_stem]:
        raise DatasetError(f"{file} names {missing[0]}, and there is no {missing[0]}.xml among the annotations")
    return tuple(by_stem[stem] for stem in stems)
