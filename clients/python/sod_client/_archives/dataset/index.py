"""What was done before: found by path, on disk, because the paths of an archive may not fit in memory."""

import hashlib
import sqlite3
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sod_client._archives.dataset.place import OutputError
from sod_client._archives.dataset.schema import FAILED
from sod_client._archives.inputs.source import Stamp

_UPSERT = """
INSERT INTO done VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET
failed = CASE WHEN rank = excluded.rank THEN max(failed, excluded.failed) ELSE excluded.failed END,
rank = excluded.rank, size = excluded.size, version = excluded.version, sha256 = excluded.sha256
"""


@dataclass(frozen=True)
class Done:
    """A file that was done before.

    Attributes:
        stamp: its stamp then.
        sha256: of its content; None if it could not be read.
        is_failed: whether one of its images failed.
    """

    stamp: Stamp
    sha256: str | None
    is_failed: bool


class Index:
    """A database in a temporary folder. Several threads may use it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="sod-batch-")
        self._lock = threading.Lock()
        self._database = sqlite3.connect(
            Path(self._folder.name) / "index", check_same_thread=False, isolation_level=None
        )
        for statement in (
            "PRAGMA journal_mode = OFF",
            "PRAGMA synchronous = OFF",
            "PRAGMA cache_size = -16000",
            "CREATE TABLE done (key BLOB PRIMARY KEY, rank INTEGER, size INTEGER, version TEXT, sha256 TEXT, "
            "failed INTEGER) WITHOUT ROWID",
            "CREATE TABLE claimed (key BLOB PRIMARY KEY) WITHOUT ROWID",
        ):
            self._database.execute(statement)

    def add(self, rows: Iterable[tuple[str, int | None, str | None, str | None, str]], rank: int) -> None:
        """Add rows: path, size, version, sha256, status. Those of a higher rank replace others of their path."""
        with self._lock, _sentences():
            self._database.execute("BEGIN")
            self._database.executemany(
                _UPSERT,
                ((_key(path), rank, size, version, sha, status == FAILED) for path, size, version, sha, status in rows),
            )
            self._database.execute("COMMIT")

    def find(self, path: str) -> Done | None:
        """A file by its path; None if it was not done before."""
        with self._lock, _sentences():
            row = self._database.execute(
                "SELECT size, version, sha256, failed FROM done WHERE key = ?", (_key(path),)
            ).fetchone()
        return None if row is None else Done(Stamp(row[0], row[1]), row[2], bool(row[3]))

    def claim(self, path: str) -> bool:
        """Note that this run has met a path; False if it had before."""
        with self._lock, _sentences():
            cursor = self._database.execute("INSERT OR IGNORE INTO claimed VALUES (?)", (_key(path),))
            return cursor.rowcount == 1

    def close(self) -> None:
        """Remove the database."""
        with self._lock, _sentences():
            self._database.close()
        self._folder.cleanup()


@contextmanager
def _sentences() -> Iterator[None]:
    """Errors of the database as sentences.

    Raises:
        OutputError: there was one.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise OutputError(
            f"the names of the images cannot be kept in {tempfile.gettempdir()}: {error}; TMPDIR names another folder"
        ) from error


def _key(path: str) -> bytes:
    return hashlib.blake2b(path.encode(), digest_size=16).digest()
