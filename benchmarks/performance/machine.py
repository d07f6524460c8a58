"""Describe this machine, because figures of different machines cannot be compared."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from server.cpu import cpu_flags

_GIB = 2**30
# The CPU features that decide which precisions are fast.
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8")
_PACKAGES = (
    "nvidia-pytriton",
    "tritonclient",
    "openvino",
    "onnxruntime",
    "paddlepaddle",
    "opencv-python-headless",
    "numpy",
)
_ROOT = Path(__file__).parents[2]


def describe() -> dict[str, Any]:
    """Processor, usable cores, memory, GPU, operating system, packages, commit and load average, for JSON."""
    cpuinfo, flags = _read(Path("/proc/cpuinfo")), cpu_flags()
    return {
        "cpu": cpu_field(cpuinfo, "model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "cpu_flags": [flag for flag in _FLAGS if flag in flags],
        "virtual": "hypervisor" in flags,
        "memory_gib": round(psutil.virtual_memory().total / _GIB, 1),
        "gpu": _output(["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
        "commit": _commit(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
    }


def cpu_field(cpuinfo: str, name: str) -> str:
    """The first value of a field of /proc/cpuinfo; empty if the field is absent."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _commit() -> str:
    commit = _output(["git", "-C", str(_ROOT), "rev-parse", "--short=12", "HEAD"])
    changed = _output(["git", "-C", str(_ROOT), "status", "--porcelain", "--untracked-files=no"])
    return f"{commit} with changes" if commit and changed else commit


def _version(package: str) -> str:
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return ""


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="utf-8")
    return ""


def _output(command: Sequence[str]) -> str:
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return done.stdout.strip()
    return ""
