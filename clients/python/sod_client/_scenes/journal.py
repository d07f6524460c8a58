"""The journal of a scene: what each slice gave, so that an interrupted run can go on.

A text file to which lines are appended: first what the run was (the key), then one line per slice, in order. A line
that a killed process left unfinished is dropped.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from sod_client.errors import InvalidConfigError, SodError

_VERSION = 1
_NAMES = {
    "file": "the file has changed",
    "model": "the model is another one",
    "request": "the threshold or other options of the request are others",
    "slices": "the options of slices are others",
    "samples": "the bands or the stretch are others",
}
Entry = list[list[Any]]
"""The objects of a slice: class id, label, score, x1, y1, x2, y2 in its pixels."""


class Journal:
    """The journal of one scene; only one process can have it open.

    Args:
        folder: where journals lie; it is created, and git ignores it.
        name: tells the scene from others of the folder.
        key: what the run is: each of file, model, request, slices and samples as JSON.
        resume: go on with the journal that is there; otherwise it is replaced.

    Raises:
        InvalidConfigError: the journal is of another file, model, or other options; or another process writes it.
        SodError: the file cannot be written.
    """

    def __init__(self, folder: Path, name: str, key: Mapping[str, Any], *, resume: bool) -> None:
        digits = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
        self.path = folder / f"{Path(os.fsencode(name).decode('utf-8', 'replace')).stem[:80]}-{digits}.jsonl"
        self._key = json.loads(json.dumps({"version": _VERSION, **key}))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ".gitignore").write_text("*\n")
            self._file: IO[bytes] = self.path.open("a+b")
        except OSError as error:
            raise SodError(f"the journal cannot be written to {folder}: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise InvalidConfigError(f"another process is detecting this scene: it writes {self.path}") from error
        self._file.seek(0)
        try:
            if not (resume and self._is_continued()):
                self._file.truncate(0)
                self._write(self._key)
        except BaseException:
            self.close()
            raise

    def _is_continued(self) -> bool:
        """Whether the file has the same key; leaves the position behind it."""
        first = self._file.readline()
        if not first.endswith(b"\n"):
            return False
        found = _parsed(first)
        if not isinstance(found, dict):
            return False
        for part, explanation in _NAMES.items():
            if found.get("version") != _VERSION or found.get(part) != self._key[part]:
                raise InvalidConfigError(
                    f"--resume: {explanation} since the run was interrupted: undo that, or start anew without --resume"
                )
        return True

    def entries(self) -> Iterator[Entry]:
        """What slices gave before, in their order; afterwards entries can be appended behind the last whole one."""
        position = self._file.tell()
        for line in iter(self._file.readline, b""):
            entry = _parsed(line) if line.endswith(b"\n") else None
            if not isinstance(entry, list):
                break
            position = self._file.tell()
            yield entry
        self._file.truncate(position)

    def append(self, entry: Entry) -> None:
        """Add what the next slice gave.

        Raises:
            SodError: the file cannot be written.
        """
        self._write(entry)

    def close(self) -> None:
        """Close the file; the next run can go on with it."""
        with suppress(OSError):  # it tries once more to write what a full disk refused, which was reported
            self._file.close()

    def _write(self, value: object) -> None:
        try:
            self._file.write(json.dumps(value, separators=(",", ":")).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise SodError(f"the journal cannot be written to {self.path}: {error.strerror}") from error


def fingerprint(path: Path) -> list[Any]:
    """Tells whether a file has changed: its size, its time, and a hash of its beginning and end."""
    status = path.stat()
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(2**16))
        file.seek(max(0, status.st_size - 2**16))
        digest.update(file.read())
    return [status.st_size, status.st_mtime_ns, digest.hexdigest()]


def _parsed(line: bytes) -> object:
    try:
        value: object = json.loads(line)
    except ValueError:
        return None
    return value
