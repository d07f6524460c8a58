"""The section `soak`: memory under load for minutes, which must not grow."""

import math
import statistics
import sys
import threading
from typing import Any

from tqdm import tqdm

from benchmarks.performance.loadgen.closed_loop import LoadResult, run_closed_loop
from benchmarks.performance.loadgen.usage import resident_mib
from benchmarks.performance.options import LOAD_CLIENTS, Options
from benchmarks.performance.participants import Participants, resumed

_SAMPLE_S = 1.0
_WARM_UP_SHARE = 0.2  # of the time, in which memory pools and caches fill


def measure(participants: Participants, options: Options) -> dict[str, Any]:
    """Record memory at concurrency 8 with overlay, in the first profile that is served.

    Returns:
        `profile`, `minutes`, `requests`, `errors`; `mib`: resident memory of all processes, a value a second;
        `early_mib` and `later_mib`: see `halves`.
    """
    profile, server = next(iter(participants.servers.items()))
    seconds = 60 * options.soak_minutes
    finished: list[LoadResult] = []
    client = participants.gateway(profile, True)
    load = threading.Thread(target=lambda: finished.append(run_closed_loop(client, LOAD_CLIENTS, seconds)), daemon=True)
    mib: list[float] = []
    with (
        resumed(server),
        tqdm(total=round(seconds), desc=f"{participants.model}, soak", unit="s", file=sys.stderr) as bar,
    ):
        load.start()
        while load.is_alive():
            load.join(_SAMPLE_S)
            mib.append(round(sum(resident_mib(server).values()), 1))
            bar.set_postfix_str(f"{mib[-1]:.0f} MiB")
            bar.update()
    early, later = halves(mib)
    requests, errors = (len(finished[0].latencies_ms), finished[0].errors) if finished else (0, 1)
    return {
        "profile": profile,
        "minutes": options.soak_minutes,
        "requests": requests,
        "errors": errors,
        "mib": mib,
        "early_mib": early,
        "later_mib": later,
    }


def halves(mib: list[float]) -> tuple[float, float]:
    """Medians of the earlier and of the later half of a memory record, after its first fifth; NaN if it is empty."""
    steady = mib[int(_WARM_UP_SHARE * len(mib)) :]
    if not steady:
        return math.nan, math.nan
    middle = len(steady) // 2
    return statistics.median(steady[:middle] or steady), statistics.median(steady[middle:])
