"""What is written while training."""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path


class Log:
    """Lines of JSON, in `log.jsonl` and, with `echo`, on stdout; what is not a number is null."""

    def __init__(self, work: Path, report: int, echo: bool = True) -> None:
        self._path = work / "log.jsonl"
        self._report = report
        self._echo = echo
        self._restart()

    def _restart(self) -> None:
        self._began, self._cpu, self._seen = time.monotonic(), time.process_time(), 0

    def learnt(self, step: int, count: int, values: Mapping[str, float]) -> None:
        """Count images that were learnt from, and write a line every so many steps."""
        self._seen += count
        if step % self._report == 0:
            seconds, cpu = time.monotonic() - self._began, time.process_time() - self._cpu
            self.write({"step": step, **values, "per_second": self._seen / seconds, "per_cpu_second": self._seen / cpu})
            self._restart()

    def write(self, values: Mapping[str, object]) -> None:
        """Write a line now."""
        text = json.dumps({name: _rounded(value) for name, value in values.items()}, allow_nan=False)
        if self._echo:
            print(text, flush=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")


def _rounded(value: object) -> object:
    if not isinstance(value, float):
        return value
    return float(f"{value:.4g}") if math.isfinite(value) else None
