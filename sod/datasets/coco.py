"""Reads data sets in COCO's JSON format.

Source: COCO's data format (bbox is x, y, w, h in pixels; `iscrowd` regions are not counted), and
`not_exhaustive_category_ids` of LVIS (arXiv:1908.03195). Ids may be numbers or texts; `7` and `"7"` are the same.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sod.datasets.box_validation import UncheckedImage
from sod.datasets.coco_files import file_split, find_coco_files
from sod.datasets.errors import DatasetError
from sod.datasets.files import read_text
from sod.datasets.findings import Findings

Annotation = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CocoSource:
    """A data set in COCO's format.

    Attributes:
        folder: in which the images are looked for.
        files: the JSON file of each split.
        images: folder of the images, if the user named it.
    """

    folder: Path
    files: dict[str, Path]
    images: Path | None = None

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the data set has."""
        return tuple(self.files)

    def read(
        self, splits: Sequence[str], findings: Findings
    ) -> tuple[tuple[str, ...] | None, dict[str, list[UncheckedImage]]]:
        """The class names, and the images of the splits. The first split has the order of the classes.

        Raises:
            DatasetError: a file is not in COCO's format, or the splits have other categories.
        """
        documents = {split: _load(self.files[split], findings) for split in splits}
        group = frozenset.intersection(*(d.groups for d in documents.values()))
        names: tuple[str, ...] = ()
        read: dict[str, list[UncheckedImage]] = {}
        for split, document in documents.items():
            own = {key: name for key, name in document.categories.items() if name not in group}
            if names and (more := [name for name in own.values() if name not in names]):
                raise DatasetError(
                    f"{document.file} has the categories {', '.join(more)}, which {self.files[splits[0]].name} does "
                    "not have: give both files the same categories"
                )
            names = names or tuple(own.values())
            class_of = {key: names.index(name) for key, name in own.items()}
            read[split] = [self._image(document, image, class_of, findings) for image in document.images]
        if group:
            findings.note(f"{', '.join(sorted(group))}: a group of categories without an object, left out")
        return names, read

    def _image(
        self, document: "_Document", image: Annotation, class_of: dict[str, int], findings: Findings
    ) -> UncheckedImage:
        objects: list[tuple[Annotation, Sequence[float]]] = []
        for annotation in document.annotations[str(image["id"])]:
            place = _place(document.file, annotation)
            if str(annotation.get("category_id")) not in class_of:
                findings.error("unknown class", f"{place}: category_id {annotation.get('category_id')!r}")
            elif (box := _box(annotation, place, findings)) is not None:
                objects.append((annotation, box))
        boxes = np.array([box for _, box in objects], float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        ignored = np.array([bool(a.get("iscrowd") or a.get("ignore")) for a, _ in objects], np.bool_)
        ids = np.array([class_of[str(a["category_id"])] for a, _ in objects], np.int64)
        unlabelled = [str(i) for i in image.get("not_exhaustive_category_ids", [])]
        if unknown := [i for i in unlabelled if i not in class_of]:
            where = f"{document.file}: {image['file_name']}: not_exhaustive_category_ids {', '.join(unknown)}"
            findings.error("unknown class marked as unlabelled", where)
        return UncheckedImage(
            self._path(document.file, str(image["file_name"])),
            boxes,
            np.where(ignored, -1, ids),
            ignored,
            lambda i: _place(document.file, objects[i][0]),
            source=str(document.file),
            unlabelled=frozenset(class_of[i] for i in unlabelled if i in class_of),
            size=_size(image),
        )

    def _path(self, file: Path, name: str) -> Path:
        """The first of the customary places that holds the image; the first place of all if none does."""
        written = Path(name.replace("\\", "/"))
        part = file.stem.removeprefix("instances_")
        folders = [self.images] if self.images else [self.folder / p for p in ("images", f"images/{part}", part, ".")]
        places = [folder / written for folder in folders if folder] + [file.parent / written]
        return next((place for place in places if place.is_file()), places[0])


@dataclass(frozen=True, slots=True)
class _Document:
    """A parsed file.

    Attributes:
        file: its path.
        categories: names by id, in the order of the ids.
        groups: names of categories that only group others, as Roboflow's first one does, and have no annotation.
        images: as written.
        annotations: of each image, by its id.
    """

    file: Path
    categories: dict[str, str]
    groups: frozenset[str]
    images: list[Annotation]
    annotations: dict[str, list[Annotation]]


def _load(file: Path, findings: Findings) -> _Document:
    try:
        document = json.loads(read_text(file))
        by_id = sorted(document["categories"], key=lambda c: _order(c["id"]))
        categories = {str(c["id"]): str(c["name"]) for c in by_id}
        supercategories = {str(c.get("supercategory")) for c in by_id}
        images = _unique_images(file, document["images"], findings)
        annotations: dict[str, list[Annotation]] = {str(image["id"]): [] for image in images}
        for annotation in document["annotations"]:
            if str(annotation["image_id"]) in annotations:
                annotations[str(annotation["image_id"])].append(annotation)
            else:
                findings.error("label of no image", f"{_place(file, annotation)}: image_id {annotation['image_id']!r}")
        for image in images:
            str(image["file_name"])
    except json.JSONDecodeError as error:
        raise DatasetError(f"{file}:{error.lineno} is not a COCO JSON file with boxes: {error.msg}") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DatasetError(f"{file} is not a COCO JSON file with boxes ({type(error).__name__}: {error})") from None
    for what, ids in (("category", [c["id"] for c in by_id]), ("annotation", [a.get("id") for a in _all(annotations)])):
        repeated = [key for key, count in Counter(str(i) for i in ids if i is not None).items() if count > 1]
        if repeated and what == "category":
            findings.error("category id given more than once", f"{file}: {', '.join(repeated)}")
        elif repeated:
            findings.warning("annotation id given more than once", f"{file}: {', '.join(repeated[:5])}")
    if any(isinstance(image["id"], str) for image in images):
        findings.note(f"{file}: image ids are texts, and are compared as texts")
    used = {str(annotation.get("category_id")) for annotation in _all(annotations)}
    parents = {str(c["id"]) for c in by_id if c.get("supercategory") in ("none", None, "")}
    groups = [n for key, n in categories.items() if key not in used and key in parents and n in supercategories]
    return _Document(file, categories, frozenset(groups), images, annotations)


def _all(annotations: dict[str, list[Annotation]]) -> list[Annotation]:
    return [annotation for of_image in annotations.values() for annotation in of_image]


def _unique_images(file: Path, images: list[Annotation], findings: Findings) -> list[Annotation]:
    """The images whose id and name no earlier one has."""
    unique: dict[str, Annotation] = {}
    names: set[str] = set()
    for image in images:
        if str(image["id"]) in unique:
            findings.error("image id given more than once", f"{file}: {image['id']!r}, {image.get('file_name')}")
        elif str(image["file_name"]) in names:
            findings.error("image listed more than once", f"{file}: {image['file_name']}")
        else:
            unique[str(image["id"])] = image
            names.add(str(image["file_name"]))
    return list(unique.values())


def _order(category_id: object) -> tuple[int, int, str]:
    """Sorts ids by number, and those that are no numbers after them by text."""
    text = str(category_id)
    return (0, int(text), "") if text.isdecimal() else (1, 0, text)


def _box(annotation: Annotation, place: str, findings: Findings) -> Sequence[float] | None:
    """The annotation's x, y, w, h; of its outline, if it has no box; None, and an error, if it has neither."""
    box = annotation.get("bbox")
    if isinstance(box, list) and len(box) == 4:
        try:
            return [float(v) for v in box]
        except (TypeError, ValueError):
            findings.error("box that is not four numbers x, y, w, h", f"{place}: {box}")
            return None
    if box:
        findings.error("box that is not four numbers x, y, w, h", f"{place}: {str(box)[:60]}")
        return None
    outlines = annotation.get("segmentation")
    polygons = outlines if isinstance(outlines, list) else []
    try:
        points = np.concatenate([np.array(polygon, float).reshape(-1, 2) for polygon in polygons])
    except (TypeError, ValueError):
        findings.error("annotation without a box", place)
        return None
    findings.warning("annotation without a box, taken as the enclosing box of its outline", place)
    low, size = points.min(0), np.ptp(points, 0)
    return [*low.tolist(), *size.tolist()]


def _size(image: Annotation) -> tuple[int, int] | None:
    width, height = image.get("width"), image.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) and min(width, height) > 0 else None


def _place(file: Path, annotation: Annotation) -> str:
    """The place of an annotation: its file, and its id or else its image."""
    if "id" in annotation:
        return f"{file}: annotation {annotation['id']}"
    return f"{file}: annotation of image {annotation.get('image_id')}"


def open_coco(path: Path, images: Path | None = None) -> CocoSource | None:
    """Recognise a JSON file, or a folder that holds one; None if it is neither.

    Args:
        path: the file or the folder.
        images: folder of the images, where they are not beside the labels.

    Raises:
        DatasetError: several files of the folder may be the one of a split.
    """
    if path.is_file():
        folder = path.parent.parent if path.parent.name == "annotations" else path.parent
        return CocoSource(folder, {file_split(path, folder): path}, images)
    files = find_coco_files(path)
    return CocoSource(path, files, images) if files else None
