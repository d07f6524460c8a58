"""Whether what was seen is what docs/paddlex-compat.md says."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.paddlex.table import Row


@dataclass(frozen=True)
class Verdict:
    """Of one case.

    Attributes:
        case: its name.
        seen: the difference, or what is wrong with the table; None if both behave alike.
        row: key of the row that lists the difference.
        is_listed: False if the table and what was seen contradict each other.
    """

    case: str
    seen: str | None
    row: str | None = None
    is_listed: bool = True


def judge(case: str, seen: str | None, key: str | None, rows: Mapping[str, Row]) -> Verdict:
    """A difference must have a row that lists one, and a row that lists one must be seen.

    Args:
        case: its name.
        seen: of `difference`.
        key: of the row, None for none.
        rows: of the table.
    """
    if key is not None and key not in rows:
        return Verdict(case, f"the table has no row {key!r}; seen: {seen or 'no difference'}", key, is_listed=False)
    if key is None or rows[key].is_the_same:
        return Verdict(case, seen, key, is_listed=seen is None)
    if seen is None:
        return Verdict(case, f"no difference, although the row {key!r} lists one", key, is_listed=False)
    return Verdict(case, seen, key)
