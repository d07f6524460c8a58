"""Small data sets, for the tests of reading and checking."""

import json
from pathlib import Path

import cv2
import numpy as np

from finetune.data import dataset_checks
from finetune.data.dataset import TrainingDataset
from finetune.data.reader import read_dataset
from sod.datasets.findings import Findings


def write_image(path: Path, width: int = 200, height: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    code = cv2.imencode(".png", np.full((height, width, 3), 90, np.uint8))[1]
    path.write_bytes(code.tobytes())


def write_yolo(folder: Path, labels: dict[str, str], part: str = "train", yaml: str = "names: [car, van]\n") -> Path:
    (folder / "labels" / part).mkdir(parents=True, exist_ok=True)
    for name, text in labels.items():
        write_image(folder / "images" / part / f"{name}.png")
        (folder / "labels" / part / f"{name}.txt").write_text(text)
    (folder / "data.yaml").write_text(yaml)
    return folder


def write_coco(folder: Path, **changes: object) -> Path:
    document = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "annotations": [
            {"image_id": 1, "category_id": 7, "bbox": [10, 20, 30, 40]},
            {"image_id": 2, "category_id": 3, "bbox": [0, 0, 50, 50]},
        ],
        "categories": [{"id": 7, "name": "van"}, {"id": 3, "name": "car"}],
    } | changes
    for part in ("train", "val"):
        (folder / "annotations").mkdir(parents=True, exist_ok=True)
        (folder / "annotations" / f"instances_{part}.json").write_text(json.dumps(document))
    for name in ("a", "b"):
        write_image(folder / "images" / f"{name}.png")
    return folder


def read_and_check(folder: Path) -> tuple[TrainingDataset, Findings, str]:
    findings = Findings()
    data = read_dataset(folder, findings)
    dataset_checks.check(data, findings)
    return data, findings, "\n".join(findings.lines())
