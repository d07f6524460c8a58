"""Whether memory stays flat under load."""

import sys
import threading
from typing import Any

from tqdm import tqdm

from benchmarks.performance.loadgen.closed_loop import Turn, drive
from benchmarks.performance.loadgen.usage import resident_mib
from benchmarks.performance.options import LOADED, Options
from benchmarks.performance.participants import Participants, on
from benchmarks.performance.report.figures import median

_SAMPLE_S = 1.0
_WARM_UP = 0.2  # of the time: pools and caches fill


def measure(participants: Participants, options: Options) -> dict[str, Any]:
    """Concurrency 8 with overlay, in the first profile that is served.

    Returns:
        `profile`, `minutes`, `requests`, `errors`, `mib` (a value a second, all processes), `early_mib` and
        `later_mib`: medians of the two halves of what follows the first fifth.
    """
    profile, server = next(iter(participants.servers.items()))
    seconds = 60 * options.soak_minutes
    seen: list[Turn] = []
    client = participants.gateway(profile, True)
    load = threading.Thread(target=lambda: seen.append(drive(client, LOADED, seconds)), daemon=True)
    mib: list[float] = []
    with on(server), tqdm(total=round(seconds), desc=f"{participants.model}, soak", unit="s", file=sys.stderr) as bar:
        load.start()
        while load.is_alive():
            load.join(_SAMPLE_S)
            mib.append(round(sum(resident_mib(server).values()), 1))
            bar.set_postfix_str(f"{mib[-1]:.0f} MiB")
            bar.update()
    early, later = halves(mib)
    requests, errors = (len(seen[0].latencies_ms), seen[0].errors) if seen else (0, 1)
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
    """Medians of both halves of what follows the warm-up."""
    steady = mib[int(_WARM_UP * len(mib)) :]
    middle = len(steady) // 2
    return median(steady[:middle] or steady), median(steady[middle:])
