"""What differs between two observations, in one line."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

_PIXELS = 0.05  # of coordinates; the two run different versions of nothing but the graph's last operators
_SCORE = 1e-3


def difference(paddlex: Any, here: Any, place: str = "") -> str | None:
    """The first difference of two JSON values; None if they are equal.

    Numbers up to 1 may differ by 0.001, larger ones by 0.05.
    """
    if isinstance(paddlex, Mapping) and isinstance(here, Mapping):
        if paddlex.keys() != here.keys():
            return f"{place or 'keys'}: {sorted(map(str, paddlex))} and {sorted(map(str, here))}"
        return _first(difference(paddlex[key], here[key], f"{place}.{key}".strip(".")) for key in paddlex)
    if _is_list(paddlex) and _is_list(here):
        if len(paddlex) != len(here):
            return f"{place}: {len(paddlex)} and {len(here)} entries"
        return _first(difference(a, b, f"{place}[{i}]") for i, (a, b) in enumerate(zip(paddlex, here, strict=True)))
    if _is_number(paddlex) and _is_number(here):
        limit = _PIXELS if max(abs(paddlex), abs(here)) > 1 else _SCORE
        same = math.isclose(paddlex, here, rel_tol=0, abs_tol=limit)
    else:
        same = type(paddlex) is type(here) and paddlex == here
    return None if same else f"{place}: {_short(paddlex)} and {_short(here)}"


def _first(found: Any) -> str | None:
    return next((one for one in found if one), None)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}…"
