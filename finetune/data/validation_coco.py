"""Writes the validation images of each source as a COCO JSON file, for `sod eval`.

python -m finetune.data.validation_coco my_data .cache/validation
sod eval .cache/validation/hit_uav_thermal.json --images my_data/hit_uav_thermal/images
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from finetune.data.sources import ALL_SOURCES, CLASSES, Source
from finetune.errors import FinetuneError, run


def coco_document(source: Source, data: Path) -> dict[str, object]:
    """The validation split of a source as a COCO document.

    Its categories are the classes that the source labels. Other classes are left out, so that `sod eval` ignores them.
    """
    samples = source.samples(data, "validation")
    labelled = source.labelled()
    present = {int(i) for s in samples for i in s.class_ids}
    annotations: list[dict[str, object]] = []
    for number, sample in enumerate(samples, 1):
        for box, class_id in zip(sample.boxes.astype(float), sample.class_ids, strict=True):
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
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that holds the folders of the sources")
    parser.add_argument("out", type=Path, help="folder for the JSON files")
    options = parser.parse_args(arguments)
    return run(lambda: write(options.data, options.out))


def write(data: Path, out: Path) -> None:
    """Write a JSON file for each source whose folder is in `data`.

    Raises:
        FinetuneError: `data` holds the folder of no source.
    """
    present = [source for source in ALL_SOURCES if (data / source.folder).is_dir()]
    if not present:
        msg = f"{data} must hold at least one of the folders {', '.join(source.folder for source in ALL_SOURCES)}"
        raise FinetuneError(msg)
    out.mkdir(parents=True, exist_ok=True)
    for source in present:
        (out / f"{source.folder}.json").write_text(json.dumps(coco_document(source, data)), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
