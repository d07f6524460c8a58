"""Runs the steps one after the other, each within its seconds: a step that fails is a line of the report."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from benchmarks.gpu_day.options import BUDGETS, Options

_END_S = 5.0
_PARTIAL = ("detector", "gateway", "slices")  # steps that write what they have


def run(options: Options, steps: Sequence[str], budget_s: float) -> dict[str, Any]:
    """Run the steps.

    Args:
        options: of the run.
        steps: names from `STEPS`, in this order.
        budget_s: seconds for all of them; a step gets at most what is left.

    Returns:
        By step `seconds`, and `result`, or `problem`, a sentence, with the `result` so far where there is one.
    """
    until = time.monotonic() + budget_s
    given = options.folder / "options.json"
    given.write_text(json.dumps(options.to_json()), encoding="utf-8")
    found: dict[str, Any] = {}
    for number, name in enumerate(steps, 1):
        print(f"gpu-day {number}/{len(steps)} {name}, at most {BUDGETS[name]} s", file=sys.stderr, flush=True)
        seconds = min(BUDGETS[name], until - time.monotonic())
        started = time.monotonic()
        found[name] = {"problem": "no time was left for it"} if seconds <= 0 else _step(options, name, seconds)
        found[name]["seconds"] = round(time.monotonic() - started, 1)
        (options.folder / "results.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def _step(options: Options, name: str, seconds: float) -> dict[str, Any]:
    result, log = options.folder / f"{name}-result.json", options.folder / f"{name}.log"
    command = [sys.executable, "-m", "benchmarks.gpu_day.step", name, str(options.folder / "options.json"), str(result)]
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            _end(process)
            return {"problem": f"it took longer than its {seconds:.0f} s and was ended", **_partial(options, name)}
        except BaseException:
            _end(process)
            raise
    if code:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return {"problem": lines[-1][:500] if lines else f"it ended with {code}", **_partial(options, name)}
    return {"result": json.loads(result.read_text(encoding="utf-8"))}


def _partial(options: Options, name: str) -> dict[str, Any]:
    if name in _PARTIAL:
        with suppress(OSError, ValueError):
            return {"result": json.loads((options.folder / f"{name}.json").read_text(encoding="utf-8"))}
    return {}


def _end(process: "subprocess.Popen[bytes]") -> None:
    """SIGINT, so that it stops its server; then SIGKILL, upon which the kernel ends the server."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
