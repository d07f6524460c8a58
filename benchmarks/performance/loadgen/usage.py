"""Processor time and memory of a server, by what its processes do."""

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress

import psutil

from benchmarks.servers import Host

_MIB = 2**20
DETECTOR = "detector"
OTHER = "launcher"
GATEWAY = "gateway"


def role(command: list[str]) -> str:
    """What a process of a server does, by its command line: gateway, triton, detector and so on."""
    line = " ".join(command)
    if command and command[0].endswith("triton_python_backend_stub"):
        folder = command[1].rsplit("/", 3)[-3] if command[1].count("/") >= 3 else command[1]
        return DETECTOR if folder.endswith("_detector") else folder.split("_")[0]
    if command and command[0].endswith("/tritonserver"):
        return "triton"
    if "-m gateway" in line or "multiprocessing" in line:
        return GATEWAY
    return "paddlex" if "paddlex" in line else OTHER


def cpu_ms(host: Host) -> dict[str, float]:
    """Milliseconds of processor time so far, by role."""
    spent: dict[str, float] = defaultdict(float)
    for process in host.processes():
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            spent[role(process.cmdline())] += 1e3 * (times.user + times.system)
    return dict(spent)


def resident_mib(host: Host) -> dict[str, float]:
    """Resident memory in MiB, by role; what processes share counts in each."""
    held: dict[str, float] = defaultdict(float)
    for process in host.processes():
        with suppress(psutil.NoSuchProcess):
            held[role(process.cmdline())] += process.memory_info().rss / _MIB
    return dict(held)


def proportional_mib(host: Host) -> float:
    """Memory of all its processes in MiB, what they share counted once (PSS)."""
    total = 0.0
    for process in host.processes():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += process.memory_full_info().pss / _MIB
    return total


def per_request(before: Mapping[str, float], after: Mapping[str, float], requests: int) -> dict[str, float]:
    """Milliseconds that each role has spent on one request."""
    return {name: (value - before.get(name, 0.0)) / max(requests, 1) for name, value in after.items()}


def outside_detector(spent: Mapping[str, float]) -> float:
    """Milliseconds a request of all that serves it but the detector; the launcher's checks are not of a request."""
    return sum(value for name, value in spent.items() if name not in (DETECTOR, OTHER))
