"""Collects the errors and warnings about a data set."""

from collections import defaultdict
from pathlib import Path

from sod.datasets.errors import DatasetError

_EXAMPLES = 3


class Findings:
    """Errors, with which the data are not used, and warnings and notes, with which they are."""

    def __init__(self) -> None:
        # The places of each kind in order; a file that belongs to two splits is reported once.
        self._errors: dict[str, dict[str, None]] = defaultdict(dict)
        self._warnings: dict[str, dict[str, None]] = defaultdict(dict)
        self._notes: dict[str, None] = {}

    def error(self, kind: str, where: str) -> None:
        """Report what must be corrected: its kind in the singular, and the place."""
        self._errors[kind][where] = None

    def warning(self, kind: str, where: str) -> None:
        """Report what the reader has corrected or left out, as the kind says, and the place."""
        self._warnings[kind][where] = None

    def note(self, text: str) -> None:
        """Report a fact that the user should know."""
        self._notes[text] = None

    @property
    def errors(self) -> int:
        """Number of errors."""
        return sum(map(len, self._errors.values()))

    def lines(self) -> list[str]:
        """Text for people: errors, warnings and notes, with up to three examples of each kind."""
        lines = []
        for severity, groups in (("error", self._errors), ("warning", self._warnings)):
            for kind, places in groups.items():
                more = f" (and {len(places) - _EXAMPLES:,} more)" if len(places) > _EXAMPLES else ""
                times = f"{len(places):,} time{'s' if len(places) > 1 else ''}"
                lines.append(f"{severity}: {kind}, {times}: {'; '.join(list(places)[:_EXAMPLES])}{more}")
        return lines + [f"note: {text}" for text in self._notes]

    def stop_at_errors(self, source: Path) -> None:
        """Refuse data with errors.

        Raises:
            DatasetError: there are errors; `lines` says which.
        """
        if count := self.errors:
            raise DatasetError(f"{source} has {count:,} error{'s' if count > 1 else ''}: correct them and run again")
