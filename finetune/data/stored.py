"""A checked data set in one file, so that the training reads exactly what was checked."""

import json
from pathlib import Path

import numpy as np

from finetune.data.dataset import DataSet, Labelled


def dump(data: DataSet) -> str:
    """JSON; the same data give the same text."""
    parts = {"train": data.train, "held_out": data.held_out}
    document = {
        "names": data.names,
        **{
            name: [
                {
                    "image": str(p.image.resolve()),
                    "size": [p.width, p.height],
                    "boxes": p.boxes.round(2).astype(float).round(2).tolist(),
                    "class_ids": p.class_ids.tolist(),
                    "unlabelled": sorted(p.unlabelled),
                }
                for p in part
            ]
            for name, part in parts.items()
        },
    }
    return json.dumps(document, ensure_ascii=False)


def load(path: Path) -> DataSet:
    """What `dump` gave."""
    document = json.loads(path.read_text(encoding="utf-8"))
    train, held_out = (
        tuple(
            Labelled(
                Path(entry["image"]),
                entry["size"][0],
                entry["size"][1],
                np.array(entry["boxes"], np.float32).reshape(-1, 4),
                np.array(entry["class_ids"], np.int64),
                frozenset(entry["unlabelled"]),
            )
            for entry in document[part]
        )
        for part in ("train", "held_out")
    )
    return DataSet(tuple(document["names"]), train, held_out)
