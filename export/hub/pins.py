"""What was downloaded once: sizes and SHA-256, in one file beside the archives, so that a later change is noticed.

The official archives come without published digests: the first download is believed, each later one must be the same.
Put a `downloads.lock.json` from another machine there beforehand, and the first one must be as well.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from export.errors import ExportError

LOCK_NAME = "downloads.lock.json"


@dataclass(frozen=True, slots=True)
class Pin:
    """One archive as it first came.

    Attributes:
        url: it came from; without user and password, empty if it was put there by hand.
        size: bytes.
        sha256: of the archive, hexadecimal.
        files: name → SHA-256 of what was unpacked from it.
    """

    url: str
    size: int
    sha256: str
    files: Mapping[str, str]


def read_pins(path: Path) -> dict[str, Pin]:
    """Archive's file name → pin; nothing if there is no such file.

    Raises:
        ExportError: the file is not what `write_pin` writes.
    """
    if not path.exists():
        return {}
    try:
        return {name: _pin(**entry) for name, entry in json.loads(path.read_bytes()).items()}
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ExportError(f"{path} is damaged: mend it, or delete it to record the downloads anew") from error


def write_pin(path: Path, name: str, pin: Pin) -> None:
    """Add an archive; the others stay. The caller sees to it that nobody else writes meanwhile.

    Raises:
        ExportError: the file there is damaged.
        OSError: it cannot be written.
    """
    pins = read_pins(path) | {name: pin}
    staged = path.with_name(f".{path.name}")
    document = {name: asdict(pin) for name, pin in sorted(pins.items())}
    try:
        staged.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(directory: Path) -> dict[str, str]:
    """Relative name → SHA-256 of all files below."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): sha256(path) for path in files}


def _pin(url: Any, size: Any, sha256: Any, files: Any) -> Pin:
    strings = (url, sha256, *files, *files.values())
    if not isinstance(size, int) or not all(isinstance(value, str) for value in strings):
        raise TypeError
    return Pin(url, size, sha256, files)
