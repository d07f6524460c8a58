"""Metrics as tables, JSON and precision-recall curves."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.evaluation.metrics import Figures

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
    return text + "\n" + "\n".join(lines) + "\n"


def as_dict(figures: Figures) -> dict[str, object]:
    """The metrics for JSON; NaN becomes null."""
    summary: dict[str, object] = {name: _known(getattr(figures, name)) for _, name in _SUMMARY}
    summary["classes"] = [
        {"name": one.name, "labelled": one.labelled, "ap": _known(one.ap), "ap50": _known(one.ap50)}
        for one in figures.classes
    ]
    return summary


def plot_curves(runs: Sequence[tuple[str, Figures]], path: Path) -> None:
    """Draw precision over recall at IoU 0.5: one panel for each labelled class, one line for each run."""
    import matplotlib as mpl  # noqa: PLC0415 - takes a second to import, and only plots need it

    mpl.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415

    shown = [index for index, one in enumerate(runs[0][1].classes) if one.labelled]
    columns = min(5, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(3 * columns, 2.9 * rows), squeeze=False, layout="constrained"
    )
    recall = np.linspace(0, 1, 101)
    for panel, axis in enumerate(axes.flat):
        if panel >= len(shown):
            axis.set_visible(False)
            continue
        for run, (title, figures) in enumerate(runs):
            one = figures.classes[shown[panel]]
            style = "-" if run == 0 else "--"
            if np.isnan(one.ap50):
                axis.plot([], [], style, label=f"{title}: no such class")
                continue
            axis.plot(recall, one.precision50, style, label=f"{title}: {_per_cent(one.ap50)}")
        axis.set(title=f"{one.name} ({one.labelled:,})", xlim=(0, 1), ylim=(0, 1.02))
        axis.grid(alpha=0.3)
        axis.legend(fontsize="x-small", title="AP50", title_fontsize="x-small")
    figure.supxlabel("recall")
    figure.supylabel("precision at IoU 0.5")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


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
