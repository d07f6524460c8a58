"""Names for files that only one launcher uses, and the removal of what launchers that were killed have left.

A claim on a folder is a file `sod-<pid>-<random>.lock`, locked by flock(2); all that belongs to it is named
`sod-<pid>-<random>-…`. The children inherit the open file, so the lock holds until the last of them has ended, in
whatever PID namespace it runs. A lock that can be taken is one whose owners are all dead.
"""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SUFFIX = ".lock"


@dataclass(frozen=True, slots=True)
class Claim:
    """Names in a folder that nobody else uses.

    Attributes:
        folder: where the names are.
        prefix: how they begin.
        descriptor: of the lock file; children that use such names must inherit it.
    """

    folder: Path
    prefix: str
    descriptor: int

    def remove_files(self) -> None:
        """Remove what has one of the names; the claim stays."""
        _remove(self.folder, self.prefix)


@contextmanager
def claim(folder: Path, about: dict[str, Any] | None = None) -> Iterator[Claim]:
    """Claim names in a folder, after removing what dead claims have left there; at exit everything goes.

    Args:
        folder: exists and is writable.
        about: kept in the lock file as JSON, for `live_claims`.

    Raises:
        OSError: the folder cannot be written to.
    """
    remove_leftovers(folder)
    stem = f"sod-{os.getpid()}-{secrets.token_hex(4)}"
    hidden = folder / f".{stem}{_SUFFIX}"
    lock = folder / f"{stem}{_SUFFIX}"
    descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        # Locked before it has a name that another launcher looks for.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with suppress(OSError):  # the file system is full
            os.write(descriptor, json.dumps(about or {}).encode())
        hidden.rename(lock)
        yield Claim(folder, f"{stem}-", descriptor)
    finally:
        _remove(folder, f"{stem}-")
        for path in (lock, hidden):
            path.unlink(missing_ok=True)
        os.close(descriptor)


def remove_leftovers(folder: Path) -> list[str]:
    """Remove what dead claims of this user have left in the folder.

    Returns:
        The prefixes of these claims.
    """
    removed = []
    for lock in sorted(folder.glob(f"sod-*{_SUFFIX}")):
        descriptor = _take(lock)
        if descriptor is None:
            continue
        prefix = f"{lock.name.removesuffix(_SUFFIX)}-"
        _remove(folder, prefix)
        lock.unlink(missing_ok=True)
        os.close(descriptor)
        removed.append(prefix)
    return removed


def live_claims(folder: Path) -> list[dict[str, Any]]:
    """What the claims in the folder that are still held say about themselves."""
    found = []
    for lock in sorted(folder.glob(f"sod-*{_SUFFIX}")):
        with suppress(OSError, ValueError):
            descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                about = json.loads(lock.read_text(encoding="utf-8"))
                if isinstance(about, dict):
                    found.append(about)
            finally:
                os.close(descriptor)
    return found


def _take(lock: Path) -> int | None:
    """The lock file, opened and locked; None if its owner lives or it is another user's."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_uid == os.geteuid():
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _remove(folder: Path, prefix: str) -> None:
    for path in folder.glob(f"{prefix}*"):
        with suppress(OSError):
            if path.lstat().st_uid != os.geteuid():
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
