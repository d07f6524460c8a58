"""What is written while training."""

import json
import time
from collections.abc import Mapping
from pathlib import Path


class Log:
    """Lines of JSON, in `log.jsonl` and on stdout."""

    def __init__(self, work: Path, report: int) -> None:
        self._file = (work / "log.jsonl").open("a", encoding="utf-8")
        self._report = report
        self._restart()

    def _restart(self) -> None:
        self._began, self._cpu, self._seen = time.monotonic(), time.process_time(), 0

    def learnt(self, step: int, count: int, values: Mapping[str, float]) -> None:
        """Count pictures that were learnt from, and write a line every so many steps."""
        self._seen += count
        if step % self._report == 0:
            seconds, cpu = time.monotonic() - self._began, time.process_time() - self._cpu
            self.write({"step": step, **values, "per_second": self._seen / seconds, "per_cpu_second": self._seen / cpu})
            self._restart()

    def write(self, values: Mapping[str, object]) -> None:
        """Write a line now."""
        rounded = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in values.items()}
        text = json.dumps(rounded)
        print(text, flush=True)
        self._file.write(f"{text}\n")
        self._file.flush()
