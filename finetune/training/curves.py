"""A chart of the loss and accuracy of a training."""

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt

_SMOOTHING = 0.06  # width of the moving average, as a share of the points


def draw(log: Path, image: Path) -> None:
    """Draw the `log.jsonl` of `finetune.training.log.Log` as PNG: parts of the loss above, AP below, over the steps."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    steps = [line for line in lines if "class" in line]
    evaluations = [line for line in lines if "ap50" in line]
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 7), sharex=True, layout="constrained")
    for name in ("class", "iou", "dfl"):
        values = np.array([line[name] for line in steps], float)
        above.plot([line["step"] for line in steps], _smoothed(values), label=name)
    above.set_ylabel("loss")
    for name, label in (("ap50", "AP50"), ("ap", "AP"), ("ap_small", "AP small")):
        points = [(line["step"], line[name]) for line in evaluations if isinstance(line.get(name), float)]
        if points:
            below.plot(*zip(*points, strict=True), marker="o", label=label)
    below.set_ylabel("validation images")
    below.set_xlabel("step")
    for axes in (above, below):
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    part = image.with_name(f".{image.name}")
    figure.savefig(part, format="png", dpi=110)
    plt.close(figure)
    part.replace(image)


def _smoothed(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    width = max(1, int(len(values) * _SMOOTHING))
    padded = np.concatenate([np.full(width - 1, values[0]), values]) if len(values) else values
    return np.convolve(padded, np.full(width, 1 / width), "valid") if len(values) else values
