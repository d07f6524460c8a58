"""Processor time and memory of a server by the role of each of its processes."""

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress

import psutil

from benchmarks.performance.roles import DETECTOR, GATEWAY, LAUNCHER, PADDLEX, TRITON
from benchmarks.servers import ProcessTree

_MIB = 2**20


def role(command: list[str]) -> str:
    """The role of a process: one of `roles`, or the stage whose Python stub it is.

    Args:
        command: its command line; empty if the process has just ended.
    """
    if not command:
        return LAUNCHER
    line = " ".join(command)
    if command[0].endswith("triton_python_backend_stub"):
        # The stub's first argument is <repository>/<model>/<version>/<file>.
        model = command[1].rsplit("/", 3)[-3] if command[1].count("/") >= 3 else command[1]
        return DETECTOR if model.endswith("_detector") else model.split("_")[0]
    if command[0].endswith("/tritonserver"):
        return TRITON
    if "-m gateway" in line or "multiprocessing" in line:
        return GATEWAY
    return PADDLEX if "paddlex" in line else LAUNCHER


def cpu_ms(processes: ProcessTree) -> dict[str, float]:
    """Processor time since each process started, user and system, in milliseconds by role."""
    total: dict[str, float] = defaultdict(float)
    for process in processes.processes():
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total[role(process.cmdline())] += 1e3 * (times.user + times.system)
    return dict(total)


def resident_mib(processes: ProcessTree) -> dict[str, float]:
    """Resident memory in MiB by role; pages that processes share are counted in each of them."""
    total: dict[str, float] = defaultdict(float)
    for process in processes.processes():
        with suppress(psutil.NoSuchProcess):
            total[role(process.cmdline())] += process.memory_info().rss / _MIB
    return dict(total)


def proportional_mib(processes: ProcessTree) -> float:
    """Memory of all processes in MiB, in which shared pages are counted once (PSS)."""
    total = 0.0
    for process in processes.processes():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += process.memory_full_info().pss / _MIB
    return total


def per_request(before: Mapping[str, float], after: Mapping[str, float], requests: int) -> dict[str, float]:
    """The difference of two readings of `cpu_ms`, divided by the number of requests between them."""
    return {name: (value - before.get(name, 0.0)) / max(requests, 1) for name, value in after.items()}
