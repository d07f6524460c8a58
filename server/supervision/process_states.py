"""Which processes have been dead or stopped for some time, as /proc shows it."""

from collections.abc import Iterable

from server.process.procfs import ProcessStatus


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
