"""The memory of a command."""

import subprocess
import time
from collections.abc import Mapping, Sequence

import psutil

_INTERVAL_S = 0.02


def peak_mib(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """Run a command, which must succeed, and return the most memory that it has with its child processes, in MiB."""
    peak = 0.0
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        seen = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                tree = [seen, *seen.children(recursive=True)]
                peak = max(peak, sum(each.memory_info().rss for each in tree) / 2**20)
            except psutil.NoSuchProcess:
                pass
            time.sleep(_INTERVAL_S)
    assert process.returncode == 0
    return peak
