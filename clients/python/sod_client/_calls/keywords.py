"""Refuses keyword arguments that a function does not have, with the nearest name."""

import difflib
from collections.abc import Mapping, Sequence
from typing import TypedDict


class NoKeywords(TypedDict):
    """The type of `**unknown` in a signature: any keyword is an error for a type checker."""


def refuse_unknown(function: str, known: Sequence[str], unknown: Mapping[str, object]) -> None:
    """Raise a TypeError for the first unknown keyword, if there is one."""
    if unknown:
        name = next(iter(unknown))
        raise TypeError(f"{function}() has no argument {name!r}; {nearest(name, known)}")


def nearest(name: str, known: Sequence[str]) -> str:
    """`did you mean …?`, or the list of all names if none is near."""
    known = [each for each in known if each != "unknown"]
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
