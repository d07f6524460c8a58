"""How busy other programs and other virtual machines keep this one."""

import os
import time
from typing import Any, NamedTuple

import psutil

_SAMPLE_S = 2.0


class Spent(NamedTuple):
    """Processor time of the whole machine between two readings of `psutil.cpu_times()`.

    Attributes:
        busy_ms: not idle, that of the hypervisor's other guests (steal) among it.
        steal_ms: taken by the hypervisor.
        all_ms: all of it, at least 1.
    """

    busy_ms: float
    steal_ms: float
    all_ms: float


def spent_since(before: Any) -> Spent:
    """Processor time since an earlier `psutil.cpu_times()`."""
    spent = [1e3 * (b - a) for a, b in zip(before, psutil.cpu_times(), strict=True)]
    by_name = dict(zip(before._fields, spent, strict=True))
    # The time of guests is contained in `user`.
    everything = sum(ms for name, ms in by_name.items() if not name.startswith("guest"))
    idle = sum(by_name.get(name, 0.0) for name in ("idle", "iowait"))
    return Spent(everything - idle, by_name.get("steal", 0.0), max(everything, 1.0))


def sample(seconds: float = _SAMPLE_S) -> dict[str, float]:
    """Look at the machine while this process sleeps.

    Returns:
        For JSON: `busy` and `steal`, shares of all processors' time; `load_average` of the last minute a core.
    """
    before = psutil.cpu_times()
    time.sleep(seconds)
    spent = spent_since(before)
    return {
        "busy": round(spent.busy_ms / spent.all_ms, 4),
        "steal": round(spent.steal_ms / spent.all_ms, 4),
        "load_average": round(os.getloadavg()[0] / len(os.sched_getaffinity(0)), 2),
    }
