"""Instruction sets of this machine's processor."""

from pathlib import Path

AMX = "amx_bf16"

_CPUINFO = Path("/proc/cpuinfo")


def cpu_flags() -> set[str]:
    """Instruction sets as Linux names them (`avx2`, `avx512_bf16`, …); empty where /proc/cpuinfo cannot be read."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:  # hidden from a container
        return set()
    for line in lines:
        if line.startswith("flags"):
            return set(line.partition(":")[2].split())
    return set()
