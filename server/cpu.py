"""What this machine's processor can do."""

from pathlib import Path

AMX = "amx_bf16"


def cpu_flags() -> set[str]:
    """Instruction sets as Linux names them: `avx2`, `avx512_bf16`, `amx_bf16`, …; empty where it lists none."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("flags"):
            return set(line.partition(":")[2].split())
    return set()
