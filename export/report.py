"""The outcome as Markdown, with one plot: how far each artefact stays below its limits, and what the steps took."""

from collections.abc import Sequence
from pathlib import Path

from export.errors import ExportError
from export.outcome import Outcome


def write_report(path: Path, outcomes: Sequence[Outcome]) -> list[Path]:
    """Write `path` and a PNG beside it.

    Raises:
        ExportError: they cannot be written.
    """
    image = path.with_suffix(".png")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _plot(image, outcomes)
        path.write_text(
            "\n\n".join(
                ["# Export", *(_section(outcome) for outcome in outcomes), f"![differences and times]({image.name})"]
            )
            + "\n",
            encoding="utf-8",
        )
    except OSError as error:
        raise ExportError(f"the report {path} cannot be written: {error.strerror}") from error
    return [path, image]


def _section(outcome: Outcome) -> str:
    parts = [f"## {outcome.name}"]
    if outcome.measured:
        parts.append(
            _table(
                [
                    "against Paddle Inference",
                    "box, px",
                    "limit",
                    "score",
                    "limit",
                    "matched",
                    "limit",
                    "objects",
                    "anchors",
                    "",
                ],
                [
                    [
                        line.name,
                        f"{line.box:.4f}",
                        f"{line.limits.box:g}",
                        f"{line.score:.5f}",
                        f"{line.limits.score:g}",
                        f"{line.matched:.1%}",
                        f"{line.limits.matched:.0%}",
                        f"{line.objects} over {line.threshold:g}",
                        str(line.anchors),
                        "passed" if line.passed else "**refused**",
                    ]
                    for line in outcome.measured
                ],
            )
        )
    parts += [f"    {text}" for report in outcome.compiled for text in ["\n    ".join(str(report).splitlines())]]
    notes = [f"refused: {text}" for text in outcome.failures] + [f"left out: {text}" for text in outcome.skipped]
    notes += [f"installed: {path.name}" for path in outcome.written]
    if notes:
        parts.append("\n".join(f"- {note}" for note in notes))
    total, peak = sum(s.seconds for s in outcome.steps), max((s.peak_mib for s in outcome.steps), default=0.0)
    rows = [[step.name, f"{step.seconds:.1f}", f"{step.peak_mib:.0f}"] for step in outcome.steps]
    parts.append(_table(["step", "seconds", "peak so far, MiB"], [*rows, ["in all", f"{total:.1f}", f"{peak:.0f}"]]))
    return "\n\n".join(parts)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plot(path: Path, outcomes: Sequence[Outcome]) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415  (slow to import)

    measured = [(outcome.name, line) for outcome in outcomes for line in outcome.measured]
    steps = [(outcome.name, step) for outcome in outcomes for step in outcome.steps]
    figure = Figure(figsize=(11, 1.6 + 0.42 * (len(measured) + len(steps))), layout="constrained")
    left, right = figure.subplots(2, 1, height_ratios=[max(1, len(measured)), max(1, len(steps))])
    for shift, label, values in (
        (-0.2, "box", [line.box / line.limits.box for _, line in measured]),
        (0.2, "score", [line.score / line.limits.score for _, line in measured]),
    ):
        # What cannot be drawn, infinity and NaN, ends at twice the limit.
        drawn = [value if value < 2 else 2.0 for value in values]
        left.barh([index + shift for index in range(len(measured))], drawn, height=0.36, label=label)
    left.axvline(1, color="black", linewidth=1)
    left.set(
        xlim=(0, 2),
        xlabel="difference over its limit",
        yticks=range(len(measured)),
        yticklabels=[_label(outcomes, name, line.name) for name, line in measured],
    )
    left.invert_yaxis()
    if measured:
        left.legend(loc="lower right")
    right.barh(range(len(steps)), [step.seconds for _, step in steps], color="tab:gray")
    right.set(xlabel="seconds", yticks=range(len(steps)), yticklabels=[_label(outcomes, n, s.name) for n, s in steps])
    right.invert_yaxis()
    figure.savefig(path, dpi=110)


def _label(outcomes: Sequence[Outcome], name: str, text: str) -> str:
    full = f"{name}: {text}" if len(outcomes) > 1 else text
    return full if len(full) <= 60 else f"{full[:59]}…"
