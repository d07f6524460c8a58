"""Curves and confusion matrices as images."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evaluation.confusion import ConfusionMatrix
from benchmarks.evaluation.metrics import SCORES, Figures

_DPI = 110
_MOST_NUMBERS = 30  # classes; in the cells of a larger matrix numbers cannot be read
_DARK = 0.5  # cells over this share have white numbers


def plot_precision(runs: Sequence[tuple[str, Figures]], path: Path) -> None:
    """Draw precision over recall at IoU 0.5: one panel for each labelled class, one line for each run."""
    recall = np.linspace(0, 1, 101)
    shown = _labelled(runs)
    figure, panels = _panels(len(shown))
    for axis, index in zip(panels, shown, strict=True):
        for run, (title, figures) in enumerate(runs):
            one = figures.classes[index]
            if np.isnan(one.ap50):
                axis.plot([], [], _style(run), label=f"{title}: no such class")
                continue
            axis.plot(recall, one.precision50, _style(run), label=f"{title}: {one.ap50 * 100:.2f}")
        _finish(axis, f"{runs[0][1].classes[index].name} ({runs[0][1].classes[index].labelled:,})", "AP50")
    figure.supxlabel("recall")
    figure.supylabel("precision at IoU 0.5")
    _save(figure, path)


def plot_f1(runs: Sequence[tuple[str, Figures]], path: Path) -> None:
    """Draw F1 at IoU 0.5 over the score threshold: the mean of the classes, then a panel for each labelled class."""
    shown = _labelled(runs)
    figure, panels = _panels(1 + len(shown))
    titles = ["mean of the classes"]
    titles += [f"{one.name} ({one.labelled:,})" for one in (runs[0][1].classes[index] for index in shown)]
    for panel, (axis, title) in enumerate(zip(panels, titles, strict=True)):
        for run, (name, figures) in enumerate(runs):
            curve = figures.f1 if not panel else figures.classes[shown[panel - 1]].f1
            if np.isnan(curve).all():
                axis.plot([], [], _style(run), label=f"{name}: no such class")
                continue
            best = int(np.nanargmax(curve))
            label = f"{name}: {curve[best] * 100:.1f} at {SCORES[best]:.2f}"
            (line,) = axis.plot(SCORES, curve, _style(run), label=label)
            axis.plot(SCORES[best], curve[best], "o", color=line.get_color(), markersize=4)
        _finish(axis, title, "best F1, per cent")
    figure.supxlabel("score threshold")
    figure.supylabel("F1 at IoU 0.5")
    _save(figure, path)


def plot_confusion(runs: Sequence[tuple[str, ConfusionMatrix]], path: Path) -> None:
    """Draw the matrices, a row of two panels for each run: the counts, and the shares of each labelled class."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - takes a second to import, and only plots need it

    rows, columns = (sorted({i for _, matrix in runs for i in getattr(matrix, side)}) for side in ("rows", "columns"))
    width, height = (2.6 + 0.55 * min(len(side), _MOST_NUMBERS) for side in (columns, rows))
    figure = Figure(figsize=(2 * width + 1.2, height * len(runs)), layout="constrained")
    for axes, (title, matrix) in zip(figure.subplots(len(runs), 2, squeeze=False), runs, strict=True):
        shares, counts = matrix.shares[np.ix_(rows, columns)], matrix.counts[np.ix_(rows, columns)]
        for axis, what in zip(axes, ("counts", "share of the row"), strict=True):
            image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
            axis.set_xticks(range(len(columns)), [matrix.name(index) for index in columns], rotation=90)
            axis.set_yticks(range(len(rows)), [matrix.name(index) for index in rows])
            axis.set(xlabel="detected", ylabel="labelled", title=f"{title}: {what}")
            if len(columns) > _MOST_NUMBERS:
                continue
            for row, column in np.argwhere(counts > 0).tolist():
                text = f"{counts[row, column]:,}" if what == "counts" else f"{shares[row, column]:.2f}"
                colour = "white" if shares[row, column] > _DARK else "black"
                axis.text(column, row, text, ha="center", va="center", color=colour, fontsize="x-small")
        figure.colorbar(image, ax=axes, label="share of the row", shrink=0.8)
    first = runs[0][1]
    figure.suptitle(f"score at least {first.min_score:g}, IoU over {first.min_iou:g}")
    _save(figure, path)


def _labelled(runs: Sequence[tuple[str, Figures]]) -> list[int]:
    return [index for index, one in enumerate(runs[0][1].classes) if one.labelled]


def _panels(count: int) -> tuple[Any, list[Any]]:
    """A figure with a grid of `count` axes."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    columns = min(5, count)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(3 * columns, 2.9 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in axes[count:]:
        unused.set_visible(False)
    return figure, axes[:count]


def _style(run: int) -> str:
    return "-" if run == 0 else "--"


def _finish(axis: Any, title: str, legend: str) -> None:
    axis.set(title=title, xlim=(0, 1), ylim=(0, 1.02))
    axis.grid(alpha=0.3)
    axis.legend(fontsize="x-small", title=legend, title_fontsize="x-small")


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=_DPI)
