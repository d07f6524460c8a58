"""One writer at a time: a lock on a local file, or a lease in an object store."""

import fcntl
import json
import os
import socket
import threading
import time
import uuid
from typing import IO, Any

from sod_client._archives.dataset.place import LocalPlace, OutputError, Place, StorePlace, sentences
from sod_client.errors import SodError

LOCK = "_sod/lock"
LEASE_S = 60.0
RENEWED_EVERY_S = 15.0


class LockedError(SodError):
    """Another process writes to the dataset."""


class Lock:
    """Held from its creation to `close`, or to the end of the process.

    A lease that was not renewed for a minute is void; so is that of a process of this machine that has ended. The
    clocks of machines that write to one object store must agree to within half a minute.

    Raises:
        LockedError: another process holds it.
    """

    def __init__(self, place: Place) -> None:
        self._file: IO[str] | None = None
        self._closed = threading.Event()
        self._place = place
        self.lost = False
        if isinstance(place, LocalPlace):
            self._lock_file(place)
        elif isinstance(place, StorePlace):
            self._owner = {"id": uuid.uuid4().hex, "host": socket.gethostname(), "process": os.getpid()}
            self._lease(place)
            self._thread = threading.Thread(target=self._renew, args=[place], daemon=True, name="sod-lease")
            self._thread.start()

    def close(self) -> None:
        """Release it."""
        self._closed.set()
        if self._file is not None:
            self._file.close()
        elif isinstance(self._place, StorePlace):
            self._thread.join()
            if not self.lost:
                self._place.remove(LOCK)

    def _lock_file(self, place: LocalPlace) -> None:
        with sentences(place.name, "written"):
            path = place.folder / LOCK
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip()
            file.close()
            raise _locked(place, holder) from error
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        self._file = file

    def _lease(self, place: StorePlace) -> None:
        try:
            place.system.pipe_file(place.path(LOCK), self._content(), mode="create")
        except Exception as error:
            held = self._read(place)
            if held is None:  # the store refused for another reason than that there is one
                with sentences(place.name, "written"):
                    raise
            if not self._is_void(held):
                raise _locked(place, f"process {held['process']} on {held['host']}") from error
            self._write(place)
            time.sleep(1)  # of two processes that take over a void lease at once, the last one keeps it
            if (self._read(place) or {}).get("id") != self._owner["id"]:
                raise _locked(place, "another process") from error

    def _renew(self, place: StorePlace) -> None:
        failed_since = None
        while not self._closed.wait(RENEWED_EVERY_S):
            try:
                if (self._read(place) or {}).get("id") != self._owner["id"]:
                    self.lost = True
                    return
                self._write(place)
                failed_since = None
            except SodError:
                failed_since = failed_since or time.monotonic()
                if time.monotonic() - failed_since > LEASE_S / 2:
                    self.lost = True
                    return

    def check(self) -> None:
        """Check that the lock is still held.

        Raises:
            OutputError: a lease was lost, so that another process may write.
        """
        if self.lost:
            raise OutputError(f"{self._place.name}: the lease {LOCK} was lost; run the same command again")

    def _content(self) -> bytes:
        return json.dumps({**self._owner, "renewed": time.time()}).encode()

    def _write(self, place: StorePlace) -> None:
        with sentences(place.name, "written"):
            place.system.pipe_file(place.path(LOCK), self._content())

    def _read(self, place: StorePlace) -> dict[str, Any] | None:
        try:
            held: dict[str, Any] = json.loads(place.read(LOCK) or b"null")
        except ValueError:
            return None
        return held

    def _is_void(self, held: dict[str, Any]) -> bool:
        if time.time() - held["renewed"] > LEASE_S:
            return True
        return held["host"] == socket.gethostname() and not _runs(held["process"])


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _locked(place: Place, holder: str) -> LockedError:
    return LockedError(
        f"{place.name} is being written by {holder or 'another process'}: wait until it has ended, or choose another "
        "OUTPUT"
    )
