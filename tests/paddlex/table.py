"""The tables of docs/paddlex-compat.md: the one list of known differences."""

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "paddlex-compat.md"
_CELL = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Row:
    """One line of a table, without backticks.

    Attributes:
        key: the first cell, by which cases refer to the row.
        paddlex: what PaddleX does; empty in the tables whose first column is PaddleX's name.
        here: what triton-sod does.
    """

    key: str
    paddlex: str
    here: str

    @property
    def is_the_same(self) -> bool:
        """Whether the row says that there is no difference."""
        return self.here.startswith("the same") if self.paddlex else self.here == "the same"

    @property
    def paddlex_statuses(self) -> set[int]:
        """The HTTP statuses with which the cell begins."""
        return _statuses(self.paddlex)

    @property
    def statuses(self) -> set[int]:
        """The same of triton-sod; "the same" are PaddleX's."""
        return self.paddlex_statuses if self.is_the_same else _statuses(self.here)


def read_rows(section: str) -> dict[str, Row]:
    """The rows of the table below a heading, by their key."""
    text = PAGE.read_text("utf-8").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    rows = {}
    for line in text.splitlines():
        if line.startswith("|"):
            cells = [cell.strip().replace("`", "") for cell in _CELL.split(line)[1:-1]]
            rows[cells[0]] = Row(cells[0], *(cells[1:3] if len(cells) == 4 else ("", cells[1])))
    return dict(list(rows.items())[2:])  # without the header and the line below it


def _statuses(cell: str) -> set[int]:
    found = re.match(r"\d{3}(?:(?:,| or) \d{3})*", cell)
    return {int(number) for number in re.findall(r"\d{3}", found[0])} if found else set()
