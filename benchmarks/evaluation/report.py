"""Metrics as tables and JSON."""

import math
from collections.abc import Sequence

from benchmarks.evaluation.confusion import BACKGROUND, ConfusionMatrix
from benchmarks.evaluation.metrics import SCORES, Figures

# AP on VisDrone2019-DET val, in per cent (PaddleX's model list, small_object_detection).
OFFICIAL = {
    "PP-YOLOE_plus_SOD-S": 25.1,
    "PP-YOLOE_plus_SOD-L": 31.9,
    "PP-YOLOE_plus_SOD-largesize-L": 42.7,
}
_SUMMARY = (
    ("AP", "ap"),
    ("AP50", "ap50"),
    ("AP75", "ap75"),
    ("AP small (< 32² px)", "ap_small"),
    ("AP medium", "ap_medium"),
    ("AP large (> 96² px)", "ap_large"),
    ("AR", "ar"),
)


def markdown(runs: Sequence[tuple[str, Figures]], model: str) -> str:
    """Tables of the metrics in per cent, with a column for each run.

    Args:
        runs: titles and metrics of one or two runs, of the same classes; with two, a third column has the second less
            the first.
        model: name of the model.
    """
    difference = len(runs) == 2
    head = ["", *(title for title, _ in runs), *(["difference"] if difference else [])]
    lines = [_row(head), _row(["---", *["---:"] * (len(head) - 1)])]
    for title, name in _SUMMARY:
        lines.append(_row([title, *_cells([getattr(figures, name) for _, figures in runs])]))
    text = "\n".join(lines) + "\n"
    if model in OFFICIAL:
        text += f"\nOfficial weights of {model} have AP {OFFICIAL[model]} on VisDrone val (VisDrone2019-DET).\n"
    head = ["class", "labelled", *(f"{title} {what}" for title, _ in runs for what in ("AP", "AP50"))]
    lines = [_row(head), _row(["---", *["---:"] * (len(head) - 1)])]
    for index, first in enumerate(runs[0][1].classes):
        values = [value for _, figures in runs for value in (figures.classes[index].ap, figures.classes[index].ap50)]
        lines.append(_row([first.name, f"{first.labelled:,}", *(_per_cent(value) for value in values)]))
    return text + "\n" + "\n".join(lines) + "\n\n" + "\n".join(_best_thresholds(runs)) + "\n"


def _best_thresholds(runs: Sequence[tuple[str, Figures]]) -> list[str]:
    return [
        f"{title}: mean F1 at IoU 0.5 is highest at the score threshold {figures.best_threshold:.2f}: "
        f"{_per_cent(figures.best_f1)}."
        for title, figures in runs
    ]


def confusion_markdown(title: str, matrix: ConfusionMatrix) -> str:
    """A table of the counts, with a row for each labelled class and a column for each detected one."""
    columns = matrix.columns
    lines = [
        f"{title}: what is detected (columns) where a class is labelled (rows), at a score of at least "
        f"{matrix.min_score:g} and IoU over {matrix.min_iou:g}:\n",
        _row(["labelled", *(matrix.name(index) for index in columns)]),
        _row(["---", *["---:"] * len(columns)]),
    ]
    for row in matrix.rows:
        lines.append(_row([matrix.name(row), *(f"{matrix.counts[row, column]:,}" for column in columns)]))
    return "\n".join(lines) + "\n"


def as_dict(figures: Figures, confusion: ConfusionMatrix) -> dict[str, object]:
    """The metrics for JSON; NaN becomes null."""
    summary: dict[str, object] = {name: _known(getattr(figures, name)) for _, name in _SUMMARY}
    summary["classes"] = [
        {
            "name": one.name,
            "labelled": one.labelled,
            "ap": _known(one.ap),
            "ap50": _known(one.ap50),
            "f1": [_known(value) for value in one.f1.tolist()],
        }
        for one in figures.classes
    ]
    summary["f1"] = {
        "scores": SCORES.round(2).tolist(),
        "mean": [_known(value) for value in figures.f1.tolist()],
        "best": _known(figures.best_f1),
        "best_score": _known(figures.best_threshold),
    }
    summary["confusion"] = {
        "min_score": confusion.min_score,
        "min_iou": confusion.min_iou,
        "names": [*confusion.names, BACKGROUND],
        "counts": confusion.counts.tolist(),
        "shares": confusion.shares.round(4).tolist(),
    }
    return summary


def _cells(values: list[float]) -> list[str]:
    cells = [_per_cent(value) for value in values]
    if len(values) == 2:
        cells.append("n/a" if any(map(math.isnan, values)) else f"{(values[1] - values[0]) * 100:+.2f}")
    return cells


def _per_cent(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value * 100:.2f}"


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
