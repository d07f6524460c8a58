"""Writes small data sets in the layouts that users have. Each image has a car and a van, and is 200 by 100."""

import json
from pathlib import Path

import cv2
import numpy as np

from sod.datasets.findings import Findings
from sod.datasets.reader import open_dataset, read_splits

CAR, VAN = (10, 20, 50, 40), (100, 50, 140, 90)  # xyxy
TWO_LINES = "0 0.15 0.3 0.2 0.2\n1 0.6 0.7 0.2 0.4\n"
NAMES = "names: [car, van]\n"


def write_image(path: Path, width: int = 200, height: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, np.full((height, width, 3), 90, np.uint8))[1].tobytes())


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_yolo(images: Path, labels: Path, name: str, lines: str = TWO_LINES) -> None:
    write_image(images / f"{name}.jpg")
    write_text(labels / f"{name}.txt", lines)


def coco(*names: str, **changes: object) -> dict[str, object]:
    boxes = [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in (CAR, VAN)]
    return {
        "images": [{"id": i, "file_name": f"{n}.jpg", "width": 200, "height": 100} for i, n in enumerate(names)],
        "annotations": [
            {"id": 2 * i + k, "image_id": i, "category_id": category, "bbox": box}
            for i in range(len(names))
            for k, (category, box) in enumerate(zip((3, 7), boxes, strict=True))
        ],
        "categories": [{"id": 7, "name": "van"}, {"id": 3, "name": "car"}],
        **changes,
    }


def write_coco(file: Path, folder: Path, /, *names: str, **changes: object) -> None:
    for name in names:
        write_image(folder / f"{name}.jpg")
    write_text(file, json.dumps(coco(*names, **changes)))


def voc(name: str, size: tuple[int, int] = (200, 100), difficult: str = "0") -> str:
    objects = "".join(
        f"<object><name>{label}</name><difficult>{flag}</difficult><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for label, flag, (x1, y1, x2, y2) in (("car", "0", CAR), ("van", difficult, VAN))
    )
    return (
        f"<annotation><filename>{name}.jpg</filename><size><width>{size[0]}</width><height>{size[1]}</height></size>"
        f"{objects}</annotation>"
    )


def read(path: Path, *splits: str, kind=None, images: Path | None = None):
    """The splits that the data set has, the data of those asked for (default: all), and the findings' text."""
    findings = Findings()
    source = open_dataset(path, kind, images)
    data = read_splits(source, splits or source.splits, findings)
    return data, findings, "\n".join(findings.lines())


def objects(data) -> dict[str, list[tuple[str, list[tuple[str, list[int]]]]]]:
    """By split: the stem of each image, and its objects as class names and rounded boxes."""
    return {
        split: [
            (
                image.image.stem,
                [
                    (one.class_names[i], box)
                    for i, box in zip(image.class_ids, image.boxes.round().astype(int).tolist(), strict=True)
                ],
            )
            for image in one.images
        ]
        for split, one in data.items()
    }


BOTH = [("car", list(CAR)), ("van", list(VAN))]
