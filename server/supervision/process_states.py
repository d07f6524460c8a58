"""Which processes have been dead or stopped for some time, as /proc shows it."""

from collections.abc import Iterable

from server.process.procfs import ProcessStatus, child_pids, read_status

_LIST_EVERY_S = 1.0


class ChildStatuses:
    """The statuses of a process's direct children.

    The children are listed once a second only: that reads a file for each thread of the process, a hundred in Triton.
    While children start, `anew` lists them at every reading, so that one that dies early has been seen alive.
    """

    def __init__(self) -> None:
        self._parent = 0
        self._pids: list[int] = []
        self._listed_at = 0.0

    def read(self, parent: int, now: float, *, anew: bool = False) -> list[ProcessStatus]:
        """The statuses now, zombies among them; a child that has just been started may be missing."""
        if anew or parent != self._parent or now - self._listed_at >= _LIST_EVERY_S:
            self._parent, self._pids, self._listed_at = parent, child_pids(parent), now
        return [status for pid in self._pids if (status := read_status(pid)) is not None]


class StateTimer:
    """For how long each process has been in one state."""

    def __init__(self) -> None:
        self._since: dict[int, tuple[str, float]] = {}

    def update(self, statuses: Iterable[ProcessStatus], now: float) -> None:
        """Take a new reading; processes that are not in it are forgotten."""
        before = self._since
        self._since = {}
        for status in statuses:
            state, since = before.get(status.pid, ("", now))
            self._since[status.pid] = (status.state, since if state == status.state else now)

    def in_state(self, state: str, at_least_s: float, now: float) -> list[int]:
        """Process ids that have been in the state for so many seconds, over all readings since."""
        return [pid for pid, (had, since) in self._since.items() if had == state and now - since >= at_least_s]

    def pardon(self, now: float) -> None:
        """Count from now: the launcher itself was held up and has missed readings."""
        self._since = {pid: (state, now) for pid, (state, _) in self._since.items()}
