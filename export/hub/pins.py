"""Pins downloads by size and SHA-256, in one lock file beside the archives.

No digests of the official archives are published: the first download is trusted, and every later one must be the same.
With a `downloads.lock.json` copied from another machine, the first download must match that record too.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from export.errors import ExportError
from export.files import replacing, sha256

LOCK_NAME = "downloads.lock.json"


@dataclass(frozen=True, slots=True)
class Pin:
    """One archive as it was first downloaded.

    Attributes:
        url: the source, without user and password; empty if the archive was put into the cache by hand.
        size: bytes.
        sha256: digest of the archive, hexadecimal.
        files: relative name of each unpacked file → its SHA-256.
    """

    url: str
    size: int
    sha256: str
    files: Mapping[str, str]


def read_pins(path: Path) -> dict[str, Pin]:
    """Read the lock file: file name of an archive → its pin; empty if there is no lock file.

    Raises:
        ExportError: the file cannot be read, or is not what `write_pin` writes.
    """
    if not path.exists():
        return {}
    try:
        return {name: _pin(**entry) for name, entry in json.loads(path.read_bytes()).items()}
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ExportError(f"{path} is damaged: repair it, or delete it to record the downloads again") from error


def write_pin(path: Path, name: str, pin: Pin) -> None:
    """Add or replace the pin of one archive. The caller must hold the lock of the cache.

    Raises:
        ExportError: the existing lock file is damaged.
        OSError: it cannot be written.
    """
    pins = read_pins(path) | {name: pin}
    document = {name: asdict(pin) for name, pin in sorted(pins.items())}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def digests(directory: Path) -> dict[str, str]:
    """Relative name → SHA-256 of every file below a directory."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): sha256(path) for path in files}


def _pin(url: Any, size: Any, sha256: Any, files: Any) -> Pin:
    strings = (url, sha256, *files, *files.values())
    if not isinstance(size, int) or not all(isinstance(value, str) for value in strings):
        raise TypeError
    return Pin(url, size, sha256, files)
