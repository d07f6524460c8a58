"""Stores a checked data set in one JSON file, so that the training reads exactly what was checked."""

import json
from pathlib import Path

import numpy as np

from finetune.data.dataset import TrainingDataset
from sod.datasets.dataset import LabelledImage


def dump(data: TrainingDataset) -> str:
    """The data set as JSON; equal data sets give equal text."""
    splits = {"train": data.train, "validation": data.validation}
    document = {
        "names": data.names,
        **{
            name: [
                {
                    "image": str(image.image.resolve()),
                    "size": [image.width, image.height],
                    "boxes": image.boxes.round(2).astype(float).round(2).tolist(),
                    "class_ids": image.class_ids.tolist(),
                    "unlabelled": sorted(image.unlabelled),
                }
                for image in images
            ]
            for name, images in splits.items()
        },
    }
    return json.dumps(document, ensure_ascii=False)


def load(path: Path) -> TrainingDataset:
    """Read a file with what `dump` returned."""
    document = json.loads(path.read_text(encoding="utf-8"))
    train, validation = (
        tuple(
            LabelledImage(
                Path(entry["image"]),
                entry["size"][0],
                entry["size"][1],
                np.array(entry["boxes"], np.float32).reshape(-1, 4),
                np.array(entry["class_ids"], np.int64),
                unlabelled=frozenset(entry["unlabelled"]),
            )
            for entry in document[split]
        )
        for split in ("train", "validation")
    )
    return TrainingDataset(tuple(document["names"]), train, validation)
