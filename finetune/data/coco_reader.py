"""Reads training data in COCO's JSON format."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from finetune.data.box_validation import Boxes, UncheckedImage, validated
from finetune.data.dataset import VALIDATION_NAMES, LabelledImage
from finetune.data.findings import Findings
from finetune.errors import FinetuneError


def read_coco(
    folder: Path, files: list[Path], findings: Findings
) -> tuple[list[LabelledImage], list[LabelledImage] | None, tuple[str, ...]]:
    """Read the training split, the validation split (None if there is none) and the class names.

    Args:
        folder: the data set, in which the images are looked for.
        files: its JSON files.
        findings: receives what is wrong with single images and labels.

    Raises:
        FinetuneError: it is unclear which file holds which split, or a file is not in COCO's format.
    """
    validation_files = [f for f in files if any(part in f.stem.lower() for part in VALIDATION_NAMES)]
    train_files = [f for f in files if f not in validation_files]
    if len(train_files) != 1 or len(validation_files) > 1:
        msg = (
            f"{folder} holds {', '.join(f.name for f in files)}: keep one JSON file to train on and at most one with "
            "“val” in its name"
        )
        raise FinetuneError(msg)
    names, train = _read_split(folder, train_files[0], findings)
    if not validation_files:
        return train, None, names
    other_names, validation = _read_split(folder, validation_files[0], findings)
    if other_names != names:
        msg = (
            f"{train_files[0].name} has the categories {', '.join(names)}, but {validation_files[0].name} has "
            f"{', '.join(other_names)}: give both the same"
        )
        raise FinetuneError(msg)
    return train, validation, names


def _read_split(folder: Path, file: Path, findings: Findings) -> tuple[tuple[str, ...], list[LabelledImage]]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        categories = sorted(document["categories"], key=lambda c: c["id"])
        class_of = {c["id"]: i for i, c in enumerate(categories)}
        names = tuple(str(c["name"]) for c in categories)
        annotations: dict[object, list[dict[str, Any]]] = {image["id"]: [] for image in document["images"]}
        for annotation in document["annotations"]:
            if annotation["image_id"] not in annotations:
                findings.error("label of no image", f"{file.name}: image_id {annotation['image_id']}")
            elif annotation["category_id"] not in class_of:
                findings.error("unknown class", f"{file.name}: category_id {annotation['category_id']}")
            elif not annotation.get("iscrowd"):
                annotations[annotation["image_id"]].append(annotation)
        images = [(str(i["file_name"]), i["id"], i.get("not_exhaustive_category_ids", [])) for i in document["images"]]
        boxes = {k: np.array([a["bbox"] for a in v], float).reshape(-1, 4) for k, v in annotations.items()}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        msg = f"{file} is not a COCO JSON file with boxes ({type(error).__name__}: {error})"
        raise FinetuneError(msg) from None
    unchecked = []
    for name, key, unlabelled in images:
        corners: Boxes = boxes[key].copy()
        corners[:, 2:] += corners[:, :2]
        unknown = [str(i) for i in unlabelled if i not in class_of]
        if unknown:
            where = f"{name}: not_exhaustive_category_ids {', '.join(unknown)}"
            findings.error("unknown class marked as unlabelled", where)
        ids = np.array([class_of[a["category_id"]] for a in annotations[key]], np.int64)
        masked = frozenset(class_of[i] for i in unlabelled if i in class_of)
        unchecked.append(UncheckedImage(_image_path(folder, file, name), corners, ids, masked))
    return names, list(validated(unchecked, len(names), findings, label_file=file.name))


def _image_path(folder: Path, file: Path, name: str) -> Path:
    """The first of the customary places that holds the image; the first place of all if none does."""
    part = file.stem.removeprefix("instances_")
    places = [folder / p / name for p in ("images", f"images/{part}", part, ".")] + [file.parent / name]
    return next((place for place in places if place.is_file()), places[0])
