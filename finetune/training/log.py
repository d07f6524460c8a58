"""The training log."""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path


class Log:
    """Writes lines of JSON to `log.jsonl` and, with `echo`, to stdout; NaN and infinity become null.

    Args:
        work: folder of `log.jsonl`; lines are appended.
        interval: steps between two lines about the training.
        echo: whether to print the lines too.
    """

    def __init__(self, work: Path, interval: int, echo: bool = True) -> None:
        self._path = work / "log.jsonl"
        self._interval = interval
        self._echo = echo
        self._restart()

    def _restart(self) -> None:
        self._began, self._cpu, self._images = time.monotonic(), time.process_time(), 0

    def record_step(self, step: int, count: int, values: Mapping[str, float]) -> None:
        """Count the `count` images of a step; every `interval` steps, write a line with its values and the speed."""
        self._images += count
        if step % self._interval == 0:
            seconds, cpu = time.monotonic() - self._began, time.process_time() - self._cpu
            speed = {"per_second": self._images / seconds, "per_cpu_second": self._images / cpu}
            self.write({"step": step, **values, **speed})
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
