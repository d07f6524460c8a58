"""Pauses before restarts."""

_STABLE_S = 60.0
_LONGEST_S = 30.0
_LONGEST_AFTER_ANSWERS_S = 4.0


class Backoff:
    """No pause before the first restart; then 1 s, doubling while restarts follow each other within a minute.

    A process that fails while it starts is given up to 30 s, one that has answered images since its start up to 4 s.
    """

    def __init__(self) -> None:
        self._pause = 0.0
        self._last = float("-inf")

    def next_pause(self, now: float, *, has_answered: bool) -> float:
        """Seconds to wait before the restart that becomes due at the monotonic time `now`."""
        recent = now - self._last < _STABLE_S
        longest = _LONGEST_AFTER_ANSWERS_S if has_answered else _LONGEST_S
        self._pause = min(max(1.0, 2 * self._pause), longest) if recent else 0.0
        self._last = now
        return self._pause
