"""Reads a training data set from a folder in COCO's or YOLO's format.

- COCO: `annotations/*.json` or `*.json`: one file whose name contains "train" and one whose name contains "val" (or
  "test"), or a single file. Images in `images/`, `train/`, `val/`, `train2017/` …, or beside the JSON file.
- YOLO: `data.yaml` (names, train, val), or `images/` and `labels/`, each with `train/` and `val/` or flat.

Without a validation split, the last tenth of the images by name becomes one: neighbouring frames stay together.

An image may leave some classes unlabelled. COCO: `not_exhaustive_category_ids` of an image (as in LVIS, Gupta et al.
2019, arXiv:1908.03195). YOLO: `unlabelled: [names]` in data.yaml, for all images. Such classes are excluded from the
class loss of the image, except where another object is labelled.
"""

from pathlib import Path

from finetune.data.coco_reader import read_coco
from finetune.data.dataset import TrainingDataset
from finetune.data.findings import Findings
from finetune.data.yolo_reader import read_yolo
from finetune.errors import FinetuneError


def read_dataset(folder: Path, findings: Findings) -> TrainingDataset:
    """Read a data set; labels and images with errors are left out and reported to `findings`.

    Raises:
        FinetuneError: the folder holds no data set that can be read.
    """
    if not folder.is_dir():
        msg = f"there is no folder {folder}: give a data set in COCO's or YOLO's format (docs/finetuning.md)"
        raise FinetuneError(msg)
    json_files = sorted([*folder.glob("annotations/*.json"), *folder.glob("*.json")])
    json_files = [file for file in json_files if file.name != "MANIFEST.json"]
    if json_files:
        train, validation, names = read_coco(folder, json_files, findings)
    else:
        train, validation, names = read_yolo(folder, findings)
    if validation is None:
        train = sorted(train, key=lambda labelled: labelled.image.name)
        count = len(train) // 10
        if not count:
            msg = (
                f"{folder} has no validation split (val), and {len(train)} images are too few to set a tenth aside: "
                "add a val part; for a first try it may hold the same images"
            )
            raise FinetuneError(msg)
        train, validation = train[:-count], train[-count:]
        findings.note(
            f"no validation split: the last {count} of {count + len(train)} images by name are used for validation"
        )
    return TrainingDataset(names, tuple(train), tuple(validation))
