"""The results as Markdown, with one plot: each artefact's differences over their limits, and the time of each step."""

from collections.abc import Sequence
from pathlib import Path

from export.errors import ExportError
from export.request import ExportResult
from export.step_timer import steps_table
from export.verification.accuracy_check import accuracy_table


def write_report(path: Path, results: Sequence[ExportResult]) -> list[Path]:
    """Write `path`, and a PNG of the same name beside it.

    Returns:
        Both paths.

    Raises:
        ExportError: they cannot be written.
    """
    plot = path.with_suffix(".png")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _plot(plot, results)
        sections = ["# Export", *(_section(result) for result in results), f"![differences and times]({plot.name})"]
        path.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    except OSError as error:
        raise ExportError(f"the report {path} cannot be written: {error.strerror}") from error
    return [path, plot]


def _section(result: ExportResult) -> str:
    parts = [f"## {result.name}"]
    if result.accuracy:
        parts.append(accuracy_table(result.accuracy).markdown())
    parts += ["\n".join(f"    {line}" for line in str(report).splitlines()) for report in result.compiled]
    notes = [f"failed: {text}" for text in result.failures]
    notes += [f"left out: {text}" for text in result.left_out]
    notes += [f"skipped: {text}" for text in result.skipped]
    notes += [f"installed: {path.name}" for path in result.installed]
    if notes:
        parts.append("\n".join(f"- {note}" for note in notes))
    parts.append(steps_table(result.steps).markdown())
    return "\n\n".join(parts)


def _plot(path: Path, results: Sequence[ExportResult]) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415  (slow to import)

    accuracy = [(result.name, line) for result in results for line in result.accuracy]
    steps = [(result.name, step) for result in results for step in result.steps]
    figure = Figure(figsize=(11, 1.6 + 0.42 * (len(accuracy) + len(steps))), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=[max(1, len(accuracy)), max(1, len(steps))])
    for shift, label, values in (
        (-0.2, "box", [line.box / line.limits.box for _, line in accuracy]),
        (0.2, "score", [line.score / line.limits.score for _, line in accuracy]),
    ):
        # Infinity and NaN cannot be drawn: their bars end at twice the limit, as all larger ones do.
        drawn = [value if value < 2 else 2.0 for value in values]
        upper.barh([index + shift for index in range(len(accuracy))], drawn, height=0.36, label=label)
    upper.axvline(1, color="black", linewidth=1)
    upper.set(
        xlim=(0, 2),
        xlabel="difference / limit",
        yticks=range(len(accuracy)),
        yticklabels=[_label(results, name, line.name) for name, line in accuracy],
    )
    upper.invert_yaxis()
    if accuracy:
        upper.legend(loc="lower right")
    lower.barh(range(len(steps)), [step.seconds for _, step in steps], color="tab:gray")
    labels = [_label(results, name, step.name) for name, step in steps]
    lower.set(xlabel="seconds", yticks=range(len(steps)), yticklabels=labels)
    lower.invert_yaxis()
    figure.savefig(path, dpi=110)


def _label(results: Sequence[ExportResult], name: str, text: str) -> str:
    full = f"{name}: {text}" if len(results) > 1 else text
    return full if len(full) <= 60 else f"{full[:59]}…"
