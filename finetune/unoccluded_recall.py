"""Count the unoccluded objects of a class that a running server finds on an image with VisDrone labels.

python -m finetune.unoccluded_recall image.jpg image.txt --threshold 0.3
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation import served
from finetune.data.sources import CLASSES
from finetune.errors import FinetuneError, run

_MIN_IOU = 0.5
_UNOCCLUDED = 0  # VisDrone's occlusion value for a fully visible object

Boxes = NDArray[np.float32]


def unoccluded_boxes(text: str, class_name: str) -> Boxes:
    """Boxes of the fully visible objects of a class in a VisDrone label file, float32 [n, 4], xyxy in pixels.

    Raises:
        FinetuneError: `text` is not in VisDrone's format.
    """
    try:
        values = [[int(v) for v in line.rstrip(",").split(",")[:8]] for line in text.split()]
        objects = np.array(values, np.float32).reshape(-1, 8)
    except ValueError:
        msg = "the labels are not VisDrone's: each line must be x,y,w,h,score,category,truncation,occlusion"
        raise FinetuneError(msg) from None
    chosen = objects[(objects[:, 5] == CLASSES.index(class_name) + 1) & (objects[:, 7] == _UNOCCLUDED)]
    return np.concatenate([chosen[:, :2], chosen[:, :2] + chosen[:, 2:4]], 1)


def count_detected(ground_truth: Boxes, boxes: Boxes, scores: NDArray[np.float32]) -> int:
    """Number of ground-truth boxes that a detection matches with an IoU of at least 0.5.

    A detection matches at most one ground-truth box; detections choose in order of falling score.
    """
    unmatched = list(range(len(ground_truth)))
    for box in boxes[np.argsort(-scores, kind="stable")]:
        ious = [_iou(ground_truth[i], box) for i in unmatched]
        if ious and max(ious) >= _MIN_IOU:
            unmatched.pop(int(np.argmax(ious)))
    return len(ground_truth) - len(unmatched)


def _iou(a: Boxes, b: Boxes) -> float:
    sides = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    intersection = float(sides.prod())
    return intersection / float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - intersection)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("labels", type=Path, help="label file in VisDrone's text format")
    parser.add_argument("--class-name", default="car", choices=CLASSES, help="class to count (default: car)")
    parser.add_argument(
        "--threshold", type=float, default=0.3, help="score that a detection must exceed (default: 0.3)"
    )
    parser.add_argument(
        "--url",
        default=os.environ.get("SOD_URL") or "http://127.0.0.1:8080",
        help="a running gateway (default: SOD_URL, or http://127.0.0.1:8080)",
    )
    parser.add_argument("--model", help="name of the model, where the server has several")
    options = parser.parse_args(arguments)
    return run(lambda: report(options))


def report(options: argparse.Namespace) -> None:
    """Send the image to the server and print the count."""
    ground_truth = unoccluded_boxes(options.labels.read_text(encoding="utf-8"), options.class_name)
    model = served.find_model(options.url, options.model)
    with served.through_gateway(options.url, model) as predict:
        detections = predict(options.image.read_bytes())
    chosen = (detections.scores > options.threshold) & (detections.class_ids == model.labels.index(options.class_name))
    count = count_detected(ground_truth, detections.boxes[chosen], detections.scores[chosen])
    print(
        f"{count} of {len(ground_truth)} unoccluded {options.class_name}s detected; "
        f"{int(chosen.sum())} boxes score above {options.threshold}"
    )


if __name__ == "__main__":
    sys.exit(main())
