"""What is wrong with a data set, in groups, with examples."""

from collections import defaultdict

_EXAMPLES = 3


class Findings:
    """Errors stop the training, warnings do not."""

    def __init__(self) -> None:
        self._errors: dict[str, list[str]] = defaultdict(list)
        self._warnings: dict[str, list[str]] = defaultdict(list)
        self._notes: list[str] = []

    def error(self, kind: str, where: str) -> None:
        """Something that must be mended: a kind in the singular, and where it is."""
        self._errors[kind].append(where)

    def warning(self, kind: str, where: str) -> None:
        """Something that is dealt with as the kind says."""
        self._warnings[kind].append(where)

    def note(self, text: str) -> None:
        """Something to know."""
        self._notes.append(text)

    @property
    def errors(self) -> int:
        """How many errors there are."""
        return sum(map(len, self._errors.values()))

    def lines(self) -> list[str]:
        """For people: errors, warnings, notes, with a few examples of each kind."""
        lines = []
        for word, groups in (("error", self._errors), ("warning", self._warnings)):
            for kind, places in groups.items():
                more = f" (and {len(places) - _EXAMPLES:,} more)" if len(places) > _EXAMPLES else ""
                lines.append(f"{word}: {kind}, {len(places):,} times: {'; '.join(places[:_EXAMPLES])}{more}")
        return lines + [f"note: {text}" for text in self._notes]
