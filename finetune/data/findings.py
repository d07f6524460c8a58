"""Collects the errors and warnings about a data set."""

from collections import defaultdict

_EXAMPLES = 3


class Findings:
    """Errors, which prevent a training, and warnings and notes, which do not."""

    def __init__(self) -> None:
        self._errors: dict[str, list[str]] = defaultdict(list)
        self._warnings: dict[str, list[str]] = defaultdict(list)
        self._notes: list[str] = []

    def error(self, kind: str, where: str) -> None:
        """Report what must be corrected: its kind in the singular, and the place."""
        self._errors[kind].append(where)

    def warning(self, kind: str, where: str) -> None:
        """Report what the reader has corrected or ignored, as the kind says, and the place."""
        self._warnings[kind].append(where)

    def note(self, text: str) -> None:
        """Report a fact that the user should know."""
        self._notes.append(text)

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
                lines.append(f"{severity}: {kind}, {len(places):,} times: {'; '.join(places[:_EXAMPLES])}{more}")
        return lines + [f"note: {text}" for text in self._notes]
