"""Reads training data in YOLO's format: one text file of normalised boxes per image, and data.yaml."""

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from finetune.data.box_validation import Boxes, UncheckedImage, validated
from finetune.data.dataset import VALIDATION_NAMES, LabelledImage
from finetune.data.findings import Findings
from finetune.data.sources import CLASSES
from finetune.errors import FinetuneError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})


def read_yolo(
    folder: Path, findings: Findings
) -> tuple[list[LabelledImage], list[LabelledImage] | None, tuple[str, ...]]:
    """Read the training split, the validation split (None if there is none) and the class names.

    Raises:
        FinetuneError: the folder holds no images in YOLO's layout, or data.yaml cannot be used.
    """
    yaml_file = next(
        (f for f in (folder / "data.yaml", folder / "data.yml", folder / "dataset.yaml") if f.is_file()), None
    )
    document = _read_yaml(yaml_file) if yaml_file else {}
    base = folder / str(document.get("path") or "")
    base = base if base.is_dir() else folder
    train_folder = _split_folder(base, document.get("train"), ("images/train", "train/images", "images"))
    validation_folder = _split_folder(
        base, document.get("val"), tuple(p for n in VALIDATION_NAMES for p in (f"images/{n}", f"{n}/images"))
    )
    if train_folder is None:
        msg = f"{folder} holds neither COCO's *.json nor YOLO's images/ and labels/ (docs/finetuning.md shows both)"
        raise FinetuneError(msg)
    train = _read_split(train_folder, findings)
    if validation_folder == train_folder:
        validation = train
    else:
        validation = _read_split(validation_folder, findings) if validation_folder else []
    names = _class_names(document, yaml_file, [*train, *validation])
    unlabelled = document.get("unlabelled") or []
    unknown = [str(name) for name in unlabelled if name not in names]
    if unknown:
        findings.error("unknown class marked as unlabelled", f"{yaml_file}: unlabelled {', '.join(unknown)}")
    masked = frozenset(names.index(name) for name in unlabelled if name in names)
    train_images, validation_images = (
        list(
            validated(
                [UncheckedImage(path, v[:, 1:], v[:, 0].astype(np.int64), masked) for path, v in split],
                len(names),
                findings,
                relative=True,
            )
        )
        for split in (train, validation)
    )
    return train_images, validation_images if validation_folder else None, names


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:
        msg = f"{file} is not valid YAML: {str(error).splitlines()[0]}"
        raise FinetuneError(msg) from None
    if not isinstance(document, dict):
        msg = f"{file} must be a mapping with the keys names, train and val"
        raise FinetuneError(msg)
    return document


def _split_folder(base: Path, given: object, customary: tuple[str, ...]) -> Path | None:
    """The folder that data.yaml names, else the first customary one that exists."""
    if given:
        if not (base / str(given)).is_dir():
            msg = f"data.yaml names {given}, and there is no folder {base / str(given)}"
            raise FinetuneError(msg)
        return base / str(given)
    return next((base / place for place in customary if (base / place).is_dir()), None)


def _read_split(folder: Path, findings: Findings) -> list[tuple[Path, Boxes]]:
    """Image paths, and float64 [n, 5] for each: class id, x1, y1, x2, y2, the corners as shares of the image."""
    parts = list(folder.parts)
    last = max((i for i, part in enumerate(parts) if part == "images"), default=None)
    labels = Path(*parts[:last], "labels", *parts[last + 1 :]) if last is not None else folder
    images = sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES)
    stems = {f.relative_to(folder).with_suffix("") for f in images}
    for text in sorted(labels.rglob("*.txt")):
        if text.relative_to(labels).with_suffix("") not in stems and text.name != "classes.txt":
            findings.error("label of no image", str(text))
    labelled = []
    for image in images:
        text = labels / image.relative_to(folder).with_suffix(".txt")
        if not text.is_file():
            findings.warning("image without a label file, taken to hold no object", str(image))
        labelled.append((image, _read_labels(text, findings) if text.is_file() else np.zeros((0, 5))))
    return labelled


def _read_labels(text: Path, findings: Findings) -> Boxes:
    objects = []
    for number, line in enumerate(text.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            class_id, x, y, w, h = (float(v) for v in line.split())
            if class_id != int(class_id):
                raise ValueError
        except (ValueError, OverflowError):
            findings.error("line that is not “class x y w h”", f"{text}:{number}: {line.strip()[:60]!r}")
            continue
        objects.append([class_id, x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    return np.array(objects, float).reshape(-1, 5)


def _class_names(document: dict[str, Any], yaml_file: Path | None, images: list[tuple[Path, Boxes]]) -> tuple[str, ...]:
    names = document.get("names")
    if isinstance(names, dict):
        names = [names[key] for key in sorted(names)]
    if isinstance(names, list) and names:
        return tuple(str(name) for name in names)
    if yaml_file:
        msg = f"{yaml_file} has no names: list the classes by id, as names: [car, van, …]"
        raise FinetuneError(msg)
    # Without data.yaml the ids are taken to be those of the pretrained models: VisDrone's.
    highest = max((int(objects[:, 0].max()) for _, objects in images if len(objects)), default=-1)
    if highest >= len(CLASSES):
        msg = f"the labels use class {highest}, and there is no data.yaml that names the classes"
        raise FinetuneError(msg)
    return CLASSES
