"""Targets of a measurement, and the tables of a report."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """A target, the measured value, and whether the value must reach the limit or must not exceed it."""

    what: str
    value: float
    limit: float
    at_least: bool = False
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether it is met; a value that is not a number never is."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def verdicts(targets: Sequence[Target]) -> str:
    """A table of targets, and whether each is met; empty without targets."""
    if not targets:
        return ""
    rows = [
        [
            one.what,
            f"{one.value:.4g}{one.unit}",
            f"{'≥' if one.at_least else '≤'} {one.limit:g}{one.unit}",
            "met" if one.met else "**not met**",
        ]
        for one in targets
    ]
    return table(("target", "measured", "required", ""), rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; all columns but the first are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
