"""Writes files whole or not at all, under any name."""

import hashlib
import json
import os
import unicodedata
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_MAX_NAME_BYTES = 255  # of Linux's file systems


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, so that no other process ever sees a part of it, and an error leaves what was there before.

    Raises:
        OSError: the file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The path of a new file that takes the place of `path` at the end, or is removed if there is an error.

    Raises:
        OSError: the file cannot be moved there.
    """
    temporary = path.with_name(f".sod-{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def file_name(stem: str, ending: str) -> str:
    """`stem` and `ending`; a stem that would make the name too long is cut and ends in digits of its SHA-256."""
    room = _MAX_NAME_BYTES - len(os.fsencode(ending))
    encoded = os.fsencode(stem)
    if len(encoded) <= room:
        return stem + ending
    digits = hashlib.sha256(encoded).hexdigest()[:12]
    shortened = encoded[: room - len(digits) - 1].decode("utf-8", "ignore")
    return f"{shortened}-{digits}{ending}"


def to_json(value: Any, *, indent: int | None, ensure_ascii: bool) -> str:
    """JSON that UTF-8 can encode.

    A file name that is not UTF-8 is written with escapes, from which Python reads it back as it was.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=ensure_ascii)
    return text if is_encodable(text) else json.dumps(value, indent=indent)


def printable(text: str) -> str:
    """The text, with escapes for the bytes of a file name that are not UTF-8."""
    return text if is_encodable(text) else text.encode("utf-8", "backslashreplace").decode()


def visible(text: str, keep: str = "") -> str:
    """The text, with escapes for control characters but `keep`.

    A file name may hold them: a terminal would obey them, and a line break would make two lines of one.
    """
    return "".join(
        one.encode("unicode_escape").decode() if unicodedata.category(one) == "Cc" and one not in keep else one
        for one in printable(text)
    )


def is_encodable(text: str) -> bool:
    """Whether UTF-8 can encode the text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
