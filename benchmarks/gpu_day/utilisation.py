"""How busy the GPU is, as nvidia-smi samples it."""

import statistics
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_EVERY_MS = 200
_COLUMNS = ("busy", "memory_mib", "power_w")
_QUERY = "utilization.gpu,memory.used,power.draw"


@contextmanager
def sampled() -> Iterator[dict[str, Any]]:
    """Sample while the context lasts.

    Yields:
        A dict that has, at exit, `samples`, their number, and of the first GPU the medians `busy` (0 to 1),
        `memory_mib` and `power_w`; it stays empty where there is no nvidia-smi.
    """
    found: dict[str, Any] = {}
    try:
        process = subprocess.Popen(
            ["nvidia-smi", "--id=0", f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits", f"-lms={_EVERY_MS}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    except FileNotFoundError:
        yield found
        return
    try:
        yield found
    finally:
        process.terminate()
        output, _ = process.communicate()
        found.update(summary(output))


def summary(output: str) -> dict[str, Any]:
    """Medians of the lines that nvidia-smi printed; lines that are no numbers are left out."""
    rows = []
    for line in output.splitlines():
        with suppress(ValueError):
            values = [float(cell) for cell in line.split(",")]
            if len(values) == len(_COLUMNS):
                rows.append(values)
    if not rows:
        return {}
    medians = [statistics.median(column) for column in zip(*rows, strict=True)]
    return {
        "samples": len(rows),
        "busy": round(medians[0] / 100, 4),
        "memory_mib": medians[1],
        "power_w": medians[2],
    }
