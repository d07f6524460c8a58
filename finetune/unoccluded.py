"""The share of unoccluded objects of a class that a running server finds on an image with VisDrone labels.

python -m finetune.unoccluded image.jpg image.txt --threshold 0.3
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation import served
from finetune.data.sources import CLASSES
from finetune.errors import FinetuneError, run

_IOU = 0.5
_UNOCCLUDED = 0

Boxes = NDArray[np.float32]


def unoccluded(text: str, class_name: str) -> Boxes:
    """Boxes float32 [n, 4] of what a VisDrone text says is wholly visible; x1, y1, x2, y2."""
    try:
        table = [[int(v) for v in line.rstrip(",").split(",")[:8]] for line in text.split()]
        rows = np.array(table, np.float32).reshape(-1, 8)
    except ValueError:
        msg = "the labels are not VisDrone's: x,y,w,h,score,category,truncation,occlusion in each line"
        raise FinetuneError(msg) from None
    chosen = rows[(rows[:, 5] == CLASSES.index(class_name) + 1) & (rows[:, 7] == _UNOCCLUDED)]
    return np.concatenate([chosen[:, :2], chosen[:, :2] + chosen[:, 2:4]], 1)


def found(wanted: Boxes, boxes: Boxes, scores: NDArray[np.float32]) -> int:
    """How many are met by a box of IoU at least 0.5; each box meets one at most, the best scores choose first."""
    left = list(range(len(wanted)))
    for box in boxes[np.argsort(-scores, kind="stable")]:
        ious = [_iou(wanted[i], box) for i in left]
        if ious and max(ious) >= _IOU:
            left.pop(int(np.argmax(ious)))
    return len(wanted) - len(left)


def _iou(a: Boxes, b: Boxes) -> float:
    sides = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    shared = float(sides.prod())
    return shared / float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("labels", type=Path, help="VisDrone text")
    parser.add_argument("--class-name", default="car", choices=CLASSES)
    parser.add_argument("--threshold", type=float, default=0.3)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--model")
    options = parser.parse_args(arguments)
    return run(lambda: report(options))


def report(options: argparse.Namespace) -> None:
    """Ask the server, and print."""
    wanted = unoccluded(options.labels.read_text(encoding="utf-8"), options.class_name)
    model = served.find_model(options.url, options.model)
    with served.through_gateway(options.url, model) as predict:
        seen = predict(options.image.read_bytes())
    chosen = (seen.scores > options.threshold) & (seen.class_ids == model.labels.index(options.class_name))
    count = found(wanted, seen.boxes[chosen], seen.scores[chosen])
    print(
        f"{count} of {len(wanted)} unoccluded {options.class_name}s, {int(chosen.sum())} boxes over {options.threshold}"
    )


if __name__ == "__main__":
    sys.exit(main())
