"""Files that are read again when they change: certificates and keys are replaced without a restart."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

_log = logging.getLogger(__name__)
INTERVAL_S = 5.0


class FileWatch:
    """Calls a function when one of several files has another time, size or inode than before.

    This notices all ways in which files are replaced, also Kubernetes' exchange of a link's target, which does not
    notify; and it does not depend on signals, which reach only one of several processes.
    """

    def __init__(self, what: str, paths: Sequence[Path], read: Callable[[], None]) -> None:
        """Set up.

        Args:
            what: The files' name for the log.
            paths: The files.
            read: Reads them; raises an exception with the reason if they cannot be used.
        """
        self._what = what
        self._paths = tuple(paths)
        self._read = read
        self._seen = self._state()

    def check(self) -> None:
        """Read the files if they have changed. If they cannot be used, what was read before stays in use."""
        state = self._state()
        if state == self._seen:
            return
        self._seen = state
        try:
            self._read()
        except Exception as error:  # the reason is for the log, and the server goes on
            _log.warning("the %s changed, and the earlier stays in use: %s", self._what, error)
        else:
            _log.info("the %s was read again", self._what)

    async def run(self) -> None:
        """Check every few seconds until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            self.check()

    def _state(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_stamp(path) for path in self._paths)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
