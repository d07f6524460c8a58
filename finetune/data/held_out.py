"""Write the held-out images of a source as COCO json, for `sod eval`.

python -m finetune.data.held_out ../shared/data/train_open .cache/held_out
sod eval .cache/held_out/hit_uav_thermal.json --images ../shared/data/train_open/hit_uav_thermal/images
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from finetune.data.sources import CLASSES, SOURCES, Source
from finetune.errors import FinetuneError, run
from finetune.scenes.source import SCENES


def coco(source: Source, data: Path) -> dict[str, object]:
    """The held-out part of a source; its categories are the classes it labels, the others count neither way."""
    samples = source.samples(data, "held out")
    labelled = source.labelled()
    present = {int(i) for s in samples for i in s.labels.class_ids}
    annotations: list[dict[str, object]] = []
    for number, sample in enumerate(samples, 1):
        for box, class_id in zip(sample.labels.boxes.astype(float), sample.labels.class_ids, strict=True):
            x, y, w, h = np.array([box[0], box[1], box[2] - box[0], box[3] - box[1]]).round(2).tolist()
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": int(class_id) + 1, "bbox": [x, y, w, h],
                 "area": w * h, "iscrowd": 0}
            )  # fmt: skip
    return {
        "images": [
            {"id": i, "file_name": s.image.name, "width": s.width, "height": s.height} for i, s in enumerate(samples, 1)
        ],
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES) if labelled[i] and i in present],
        "annotations": annotations,
    }


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder in which the sources' folders are")
    parser.add_argument("out", type=Path, help="folder for the json files")
    options = parser.parse_args(arguments)
    return run(lambda: write(options.data, options.out))


def write(data: Path, out: Path) -> None:
    """Write a json for each source whose folder is in `data`."""
    present = [source for source in (*SOURCES, SCENES) if (data / source.folder).is_dir()]
    if not present:
        msg = f"{data} has no folder {', '.join(source.folder for source in (*SOURCES, SCENES))}"
        raise FinetuneError(msg)
    out.mkdir(parents=True, exist_ok=True)
    for source in present:
        (out / f"{source.folder}.json").write_text(json.dumps(coco(source, data)), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
