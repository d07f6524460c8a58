"""Read labelled images in the formats COCO json, VisDrone txt and YOLO txt.

Sources: COCO's "data format" (bbox is x, y, w, h); VisDrone2019-DET's toolkit readme (x, y, w, h, score, category,
truncation, occlusion; category 0 is an ignored region, 11 "others", score 0 not to be counted); Ultralytics' YOLO txt
(class, centre x, centre y, w, h as shares of the image).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation.errors import EvaluationError
from sod.errors import InvalidImageError
from sod.image import read_header

Format = Literal["coco", "visdrone", "yolo"]
FORMATS: tuple[Format, ...] = get_args(Format)
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
_VISDRONE_IGNORED = (0, 11)

Boxes = NDArray[np.float32]
_Read = Callable[[Path, int, int], "Labels"]


@dataclass(frozen=True, slots=True)
class Labels:
    """The labelled objects of one image.

    Attributes:
        boxes: float32 [n, 4], x1, y1, x2, y2 in pixels of the image as shown.
        class_ids: int32 [n].
        ignored: float32 [k, 4]; detections in these regions are neither right nor wrong.
    """

    boxes: Boxes
    class_ids: NDArray[np.int32]
    ignored: Boxes = field(default_factory=lambda: np.zeros((0, 4), np.float32))


@dataclass(frozen=True, slots=True)
class Sample:
    """An image file, its size in pixels as shown, and its labels."""

    image: Path
    width: int
    height: int
    labels: Labels


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled images, and the class names by class id if the labels contain them."""

    samples: tuple[Sample, ...]
    class_names: tuple[str, ...] | None = None


def read_dataset(path: Path, kind: Format | None = None, images: Path | None = None) -> Dataset:
    """Read labelled images.

    Args:
        path: a COCO json file, or a folder with `images/` and `labels/` (YOLO) or `annotations/` (VisDrone); images
            and txt files may lie in one folder as well.
        kind: format of the labels; None detects it.
        images: folder of the images; None looks for it beside the labels.

    Raises:
        EvaluationError: the labels cannot be read, or an image is missing; the message names the file and the line.
    """
    if not path.exists():
        raise EvaluationError(f"{path} does not exist: give a COCO json file, or a folder of images and txt labels")
    if path.is_file():
        if kind not in (None, "coco"):
            raise EvaluationError(f"{path} is a file, but {kind} labels are a folder of txt files")
        return _read_coco(path, images or _beside(path))
    if kind == "coco":
        raise EvaluationError(f"{path} is a folder: name the COCO json file in it")
    return _read_texts(path, kind, images)


def _beside(path: Path) -> Path:
    """The folder of a COCO file's images: images/ beside the file or beside its folder, else the file's folder."""
    return next((f for f in (path.parent / "images", path.parent.parent / "images") if f.is_dir()), path.parent)


def _read_coco(path: Path, folder: Path) -> Dataset:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        categories = sorted(document["categories"], key=lambda category: category["id"])
        by_image: dict[int, list[dict[str, object]]] = {int(image["id"]): [] for image in document["images"]}
        for annotation in document["annotations"]:
            by_image[annotation["image_id"]].append(annotation)
        class_of = {category["id"]: index for index, category in enumerate(categories)}
        samples = [
            _sample(folder / image["file_name"], partial(_coco_labels, by_image[image["id"]], class_of))
            for image in document["images"]
        ]
        names = tuple(str(category["name"]) for category in categories)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise EvaluationError(f"{path} is not a COCO json file with boxes ({type(error).__name__}: {error})") from None
    return _dataset(samples, path, names)


def _coco_labels(annotations: Sequence[dict[str, object]], class_of: dict[int, int], _: int, __: int) -> Labels:
    counted = [a for a in annotations if not (a.get("iscrowd") or a.get("ignore"))]
    ignored = [a for a in annotations if a.get("iscrowd") or a.get("ignore")]
    return Labels(
        _corners([a["bbox"] for a in counted]),
        np.array([class_of[a["category_id"]] for a in counted], np.int32),  # type: ignore[index]
        _corners([a["bbox"] for a in ignored]),
    )


def _corners(boxes: Sequence[object]) -> Boxes:
    """x, y, w, h → x1, y1, x2, y2."""
    array = np.array(boxes, np.float32).reshape(-1, 4)
    array[:, 2:] += array[:, :2]
    return array


def _read_texts(folder: Path, kind: Format | None, images: Path | None) -> Dataset:
    image_folder = images or (folder / "images" if (folder / "images").is_dir() else folder)
    texts = next((f for f in (folder / "labels", folder / "annotations") if f.is_dir()), folder)
    files = sorted(file for file in image_folder.iterdir() if file.suffix.lower() in _SUFFIXES)
    if not files:
        raise EvaluationError(f"{image_folder} contains no image ({', '.join(sorted(_SUFFIXES))})")
    labelled = [(file, texts / f"{file.stem}.txt") for file in files]
    if not any(text.is_file() for _, text in labelled):
        raise EvaluationError(f"{texts} contains no <image>.txt for the images in {image_folder}")
    read: _Read = _visdrone if (kind or _guess([text for _, text in labelled])) == "visdrone" else _yolo
    # In both formats an image without a label file has no objects.
    samples = [_sample(file, partial(read, text) if text.is_file() else _nothing) for file, text in labelled]
    return _dataset(samples, folder, None)


def _guess(texts: Sequence[Path]) -> Format:
    for text in texts:
        if text.is_file() and (lines := text.read_text(encoding="utf-8").split("\n", 1))[0].strip():
            return "visdrone" if "," in lines[0] else "yolo"
    return "yolo"


def _nothing(_: int = 0, __: int = 0) -> Labels:
    return Labels(np.zeros((0, 4), np.float32), np.zeros(0, np.int32))


def _visdrone(text: Path, _: int, __: int) -> Labels:
    rows = _numbers(text, ",", 8)
    if not rows:
        return _nothing()
    table = np.array(rows, np.float32)
    boxes, score, category = _corners(table[:, :4].tolist()), table[:, 4], table[:, 5].astype(np.int32)
    ignored = np.isin(category, _VISDRONE_IGNORED) | (score == 0)
    return Labels(boxes[~ignored], category[~ignored] - 1, boxes[ignored])


def _yolo(text: Path, width: int, height: int) -> Labels:
    rows = _numbers(text, None, 5)
    if not rows:
        return _nothing()
    table = np.array(rows, np.float32)
    centre, half = table[:, 1:3], table[:, 3:5] / 2
    boxes = np.concatenate([centre - half, centre + half], 1) * np.array([width, height] * 2, np.float32)
    return Labels(boxes.astype(np.float32), table[:, 0].astype(np.int32))


def _numbers(text: Path, separator: str | None, count: int) -> list[list[float]]:
    rows = []
    for number, line in enumerate(text.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        fields = line.strip().rstrip(",").split(separator)
        try:
            row = [float(value) for value in fields[:count]]
        except ValueError:
            row = []
        if len(row) < count:
            raise EvaluationError(f"{text}:{number} is {line.strip()[:60]!r}, but {count} numbers are required")
        rows.append(row)
    return rows


def _sample(image: Path, read: Callable[[int, int], Labels]) -> Sample:
    try:
        width, height = read_header(image.read_bytes()).shown_size
    except OSError as error:
        raise EvaluationError(f"{image} has labels but cannot be read ({error.strerror})") from None
    except InvalidImageError as error:
        raise EvaluationError(f"{image}: {error}") from None
    return Sample(image, width, height, read(width, height))


def _dataset(samples: Sequence[Sample], source: Path, names: tuple[str, ...] | None) -> Dataset:
    if not any(len(sample.labels.boxes) for sample in samples):
        raise EvaluationError(f"{source} contains no labelled object, so there is nothing to measure")
    return Dataset(tuple(samples), names)
