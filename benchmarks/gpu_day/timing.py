"""Durations of what is called again and again."""

import time
from collections.abc import Callable

_FEWEST = 3


def milliseconds(run: Callable[[], object], seconds: float, fewest: int = _FEWEST) -> list[float]:
    """The milliseconds of as many calls as fit, and of at least `fewest`."""
    times: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(times) < fewest:
        started = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - started))
    return times
