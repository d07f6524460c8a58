"""A data set as it is trained on, and everything that is wrong with it.

Forms, by what the folder holds:

- COCO: `annotations/*.json` or `*.json`, one file whose name has "train" in it and one with "val" (or "test"), or a
  single file. Images in `images/`, `train/`, `val/`, `train2017/` …, or beside the json.
- YOLO: `data.yaml` (names, train, val), or `images/` and `labels/`, each with `train/` and `val/` or flat.

Without a held-out part the last tenth of the images, by name, is held out: neighbouring frames stay together.

An image need not label every class. COCO: `not_exhaustive_category_ids` of an image (as in LVIS, Gupta et al. 2019,
arXiv:1908.03195). YOLO: `unlabelled: [names]` in data.yaml, for all images. Not finding such a class is no mistake.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from finetune.data.findings import Findings
from finetune.errors import FinetuneError
from sod.errors import InvalidImageError
from sod.frame import shown_size

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
_HELD_OUT_NAMES = ("val", "valid", "test")
_SLACK = 1.0  # px that a box may lie outside of its image without a word: labelling tools round

Rows = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Labelled:
    """An image and what is in it.

    Attributes:
        image: its file.
        width: px, as shown.
        height: px, as shown.
        boxes: float32 [n, 4], x1, y1, x2, y2 in pixels, within the image.
        class_ids: int64 [n].
        unlabelled: ids of classes that may be in the image without a label.
    """

    image: Path
    width: int
    height: int
    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    unlabelled: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class DataSet:
    """Class names by id; images to train on and images to measure on."""

    names: tuple[str, ...]
    train: tuple[Labelled, ...]
    held_out: tuple[Labelled, ...]


def read(folder: Path, findings: Findings) -> DataSet:
    """Read a data set; what is wrong with single labels and images goes to `findings`, and they are left out.

    Raises:
        FinetuneError: there is nothing that could be read.
    """
    if not folder.is_dir():
        msg = f"there is no folder {folder}: give a data set in COCO's or YOLO's form (docs/finetuning.md)"
        raise FinetuneError(msg)
    coco = sorted([*folder.glob("annotations/*.json"), *folder.glob("*.json")])
    coco = [file for file in coco if file.name != "MANIFEST.json"]
    train, held_out, names = _read_coco(folder, coco, findings) if coco else _read_yolo(folder, findings)
    if held_out is None:
        train = sorted(train, key=lambda labelled: labelled.image.name)
        count = len(train) // 10
        if not count:
            msg = (
                f"{folder} has no part to measure on (val), and {len(train)} images are too few to keep a tenth "
                "back: add a val part; the same images will do to try things out"
            )
            raise FinetuneError(msg)
        train, held_out = train[:-count], train[-count:]
        findings.note(f"no part to measure on: the last {count} of {count + len(train)} images, by name, are held out")
    return DataSet(names, tuple(train), tuple(held_out))


def _read_coco(
    folder: Path, files: list[Path], findings: Findings
) -> tuple[list[Labelled], list[Labelled] | None, tuple[str, ...]]:
    held_out = [f for f in files if any(part in f.stem.lower() for part in _HELD_OUT_NAMES)]
    train = [f for f in files if f not in held_out]
    if len(train) != 1 or len(held_out) > 1:
        msg = (
            f"{folder} holds {', '.join(f.name for f in files)}: leave one json to train on and at most one with "
            "“val” in its name"
        )
        raise FinetuneError(msg)
    names, trained = _coco_part(folder, train[0], findings)
    if not held_out:
        return trained, None, names
    other, kept = _coco_part(folder, held_out[0], findings)
    if other != names:
        msg = f"{train[0].name} has the categories {', '.join(names)}, {held_out[0].name} has {', '.join(other)}"
        raise FinetuneError(msg)
    return trained, kept, names


def _coco_part(folder: Path, file: Path, findings: Findings) -> tuple[tuple[str, ...], list[Labelled]]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        categories = sorted(document["categories"], key=lambda c: c["id"])
        class_of = {c["id"]: i for i, c in enumerate(categories)}
        names = tuple(str(c["name"]) for c in categories)
        rows: dict[object, list[dict[str, Any]]] = {image["id"]: [] for image in document["images"]}
        for annotation in document["annotations"]:
            if annotation["image_id"] not in rows:
                findings.error("label of no image", f"{file.name}: image_id {annotation['image_id']}")
            elif annotation["category_id"] not in class_of:
                findings.error("unknown class", f"{file.name}: category_id {annotation['category_id']}")
            elif not annotation.get("iscrowd"):
                rows[annotation["image_id"]].append(annotation)
        images = [(str(i["file_name"]), i["id"], i.get("not_exhaustive_category_ids", [])) for i in document["images"]]
        boxes = {k: np.array([a["bbox"] for a in v], float).reshape(-1, 4) for k, v in rows.items()}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        msg = f"{file} is no COCO json of boxes ({type(error).__name__}: {error})"
        raise FinetuneError(msg) from None
    found = []
    for name, key, unlabelled in images:
        corners = boxes[key].copy()
        corners[:, 2:] += corners[:, :2]
        unknown = [str(i) for i in unlabelled if i not in class_of]
        if unknown:
            where = f"{name}: not_exhaustive_category_ids {', '.join(unknown)}"
            findings.error("mask of a class that there is not", where)
        ids = np.array([class_of[a["category_id"]] for a in rows[key]], np.int64)
        masked = frozenset(class_of[i] for i in unlabelled if i in class_of)
        found.append((_coco_image(folder, file, name), corners, ids, masked))
    return names, list(_sound(found, file.name, len(names), findings))


def _coco_image(folder: Path, file: Path, name: str) -> Path:
    """Where an image is by custom; its place beside the json if it is nowhere."""
    part = file.stem.removeprefix("instances_")
    places = [folder / p / name for p in ("images", f"images/{part}", part, ".")] + [file.parent / name]
    return next((place for place in places if place.is_file()), places[0])


def _read_yolo(folder: Path, findings: Findings) -> tuple[list[Labelled], list[Labelled] | None, tuple[str, ...]]:
    described = next(
        (f for f in (folder / "data.yaml", folder / "data.yml", folder / "dataset.yaml") if f.is_file()), None
    )
    document = _yaml(described) if described else {}
    base = folder / str(document.get("path") or "")
    base = base if base.is_dir() else folder
    train_folder = _yolo_folder(base, document.get("train"), ("images/train", "train/images", "images"))
    held_folder = _yolo_folder(
        base, document.get("val"), tuple(p for n in _HELD_OUT_NAMES for p in (f"images/{n}", f"{n}/images"))
    )
    if train_folder is None:
        msg = f"{folder} holds neither COCO's *.json nor YOLO's images/ and labels/ (docs/finetuning.md shows both)"
        raise FinetuneError(msg)
    parts = [_yolo_files(train_folder, findings), _yolo_files(held_folder, findings) if held_folder else []]
    names = _yolo_names(document, described, parts)
    unknown = [n for n in document.get("unlabelled") or [] if n not in names]
    if unknown:
        findings.error("mask of a class that there is not", f"{described}: unlabelled {', '.join(map(str, unknown))}")
    masked = frozenset(names.index(n) for n in document.get("unlabelled") or [] if n in names)
    if held_folder == train_folder:
        parts[1] = parts[0]
    train, held_out = (
        list(
            _sound(
                [(p, r[:, 1:], r[:, 0].astype(np.int64), masked) for p, r in part],
                "",
                len(names),
                findings,
                shares=True,
            )
        )
        for part in parts
    )
    return train, held_out if held_folder else None, names


def _yaml(file: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:
        msg = f"{file} is no yaml: {str(error).splitlines()[0]}"
        raise FinetuneError(msg) from None
    if not isinstance(document, dict):
        msg = f"{file} must say names, train and val"
        raise FinetuneError(msg)
    return document


def _yolo_folder(base: Path, given: object, usual: tuple[str, ...]) -> Path | None:
    if given:
        if not (base / str(given)).is_dir():
            msg = f"data.yaml names {given}, and there is no folder {base / str(given)}"
            raise FinetuneError(msg)
        return base / str(given)
    return next((base / place for place in usual if (base / place).is_dir()), None)


def _yolo_files(folder: Path, findings: Findings) -> list[tuple[Path, Rows]]:
    """Images and rows of class, x1, y1, x2, y2 as shares of the image."""
    parts = list(folder.parts)
    last = max((i for i, part in enumerate(parts) if part == "images"), default=None)
    labels = Path(*parts[:last], "labels", *parts[last + 1 :]) if last is not None else folder
    images = sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES)
    stems = {f.relative_to(folder).with_suffix("") for f in images}
    for text in sorted(labels.rglob("*.txt")):
        if text.relative_to(labels).with_suffix("") not in stems and text.name != "classes.txt":
            findings.error("label of no image", str(text))
    found = []
    for image in images:
        text = labels / image.relative_to(folder).with_suffix(".txt")
        if not text.is_file():
            findings.warning("image without labels, taken as empty", str(image))
        found.append((image, _yolo_rows(text, findings) if text.is_file() else np.zeros((0, 5))))
    return found


def _yolo_rows(text: Path, findings: Findings) -> Rows:
    rows = []
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
        rows.append([class_id, x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    return np.array(rows, float).reshape(-1, 5)


def _yolo_names(
    document: dict[str, Any], described: Path | None, parts: list[list[tuple[Path, Rows]]]
) -> tuple[str, ...]:
    names = document.get("names")
    if isinstance(names, dict):
        names = [names[key] for key in sorted(names)]
    if isinstance(names, list) and names:
        return tuple(str(name) for name in names)
    if described:
        msg = f"{described} has no names: give the classes, by id, as names: [car, van, …]"
        raise FinetuneError(msg)
    highest = max((int(rows[:, 0].max()) for part in parts for _, rows in part if len(rows)), default=-1)
    # Without names the ids are the base model's: VisDrone's.
    from finetune.data.sources import CLASSES  # noqa: PLC0415

    if highest >= len(CLASSES):
        msg = f"the labels use class {highest}, and there is no data.yaml that names the classes"
        raise FinetuneError(msg)
    return CLASSES


def _sound(
    images: list[tuple[Path, Rows, NDArray[np.int64], frozenset[int]]],
    source: str,
    classes: int,
    findings: Findings,
    shares: bool = False,
) -> Iterator[Labelled]:
    """Images that can be read, with the boxes that make sense, cut off at the edges."""
    for file, given, given_ids, masked in images:
        where = f"{source}: {file}" if source else str(file)
        try:
            width, height = shown_size(file.read_bytes())
        except FileNotFoundError:
            findings.error("missing image", where)
            continue
        except (OSError, InvalidImageError) as error:
            findings.error("image that cannot be read", f"{where}: {error}")
            continue
        boxes = given * ([width, height] * 2 if shares else 1.0)
        boxes, ids = _within(boxes, given_ids, (width, height), where, findings)
        known = (ids >= 0) & (ids < classes)
        for unknown in sorted(set(ids[~known].tolist())):
            findings.error("unknown class", f"{where}: class {unknown} of {classes}")
        yield Labelled(file, width, height, boxes[known].astype(np.float32), ids[known], masked)


def _within(
    boxes: Rows, ids: NDArray[np.int64], size: tuple[int, int], where: str, findings: Findings
) -> tuple[Rows, NDArray[np.int64]]:
    far = np.array([*size, *size], float)
    cut = np.clip(np.nan_to_num(boxes, nan=-1.0), 0, far)
    kept = np.ones(len(boxes), bool)
    for i, (box, inner) in enumerate(zip(boxes, cut, strict=True)):
        text = f"{where}: {', '.join(f'{v:.0f}' for v in box)} in {size[0]} by {size[1]}"
        if not np.isfinite(box).all():
            kept[i] = False
            findings.error("box that is not of numbers", text)
        elif (box[2:] - box[:2]).min() <= 0:
            kept[i] = False
            findings.warning("box without an area, left out", text)
        elif (inner[2:] - inner[:2]).min() <= 0:
            kept[i] = False
            findings.error("box outside of its image", text)
        elif np.abs(inner - box).max() > _SLACK:
            findings.warning("box beyond its image's edge, cut off", text)
    return cut[kept], ids[kept]
