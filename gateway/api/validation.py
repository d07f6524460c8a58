"""Validation errors in PaddleX's form: a JSON list of issues, each with its type, location and message."""

import json
from collections.abc import Sequence
from typing import Literal, Self, TypedDict

from pydantic import ValidationError

from gateway.errors import FieldError, InputError

_MAX_ISSUES = 20

Location = Literal["body", "query"]
"""Where the client sent the options of a request."""


class ValidationIssue(TypedDict):
    """One entry of a validation error."""

    type: str
    loc: str
    msg: str


class InvalidRequestError(InputError):
    """The request does not fit its schema; the text is the JSON list of the first issues."""

    def __init__(self, issues: Sequence[ValidationIssue]) -> None:
        shown = list(issues[:_MAX_ISSUES])
        if more := len(issues) - len(shown):
            shown.append({"type": "more_issues", "loc": "body", "msg": f"{more:,} more issues are not shown"})
        super().__init__(json.dumps(shown))

    @classmethod
    def single(cls, kind: str, loc: str, message: str) -> Self:
        """An error with one issue."""
        return cls([{"type": kind, "loc": loc, "msg": message}])

    @classmethod
    def from_field(cls, error: FieldError, location: Location) -> Self:
        """The error of a field, with the place where the client sent it."""
        return cls.single(error.code, f"{location}.{error.field}", str(error))

    @classmethod
    def from_pydantic(cls, error: ValidationError, location: Location) -> Self:
        """Pydantic's errors, with `loc` as one string: `body.threshold.float`, `body.images[0]`."""
        details = error.errors(include_url=False, include_context=False, include_input=False)
        return cls([{"type": one["type"], "loc": _path(one["loc"], location), "msg": one["msg"]} for one in details])


def _path(parts: tuple[int | str, ...], location: Location) -> str:
    return location + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
