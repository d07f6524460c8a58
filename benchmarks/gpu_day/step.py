"""`python -m benchmarks.gpu_day.step NAME OPTIONS RESULT`: one step, in a process that can be ended."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import sod_client

from benchmarks.gpu_day import detector, gateway, machine, tensorrt
from benchmarks.gpu_day.options import Options
from benchmarks.performance.errors import BenchmarkError
from server.errors import ServerError
from server.launching import StartError
from sod.errors import SodError

_MEASURE: dict[str, Callable[[Options], dict[str, Any]]] = {
    "machine": machine.measure,
    "detector": detector.measure,
    "tensorrt": tensorrt.measure,
    "gateway": gateway.measure,
    "slices": gateway.measure_slices,
}


def main(arguments: Sequence[str]) -> int:
    """Measure, and write the result as JSON; a failure is a sentence on stderr and exit status 1."""
    name, options, result = arguments
    try:
        figures = _MEASURE[name](Options.from_json(json.loads(Path(options).read_text(encoding="utf-8"))))
    except (BenchmarkError, ServerError, SodError, StartError, sod_client.SodError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    Path(result).write_text(json.dumps(figures), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
