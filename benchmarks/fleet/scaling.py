"""The section `scaling`: one gateway before more and more Tritons, and what a request costs it."""

import time
from contextlib import ExitStack
from typing import Any

from benchmarks.fleet.load import load
from benchmarks.fleet.options import Options
from benchmarks.fleet.processes import Gateway, gateway, tritons

_SETTLE_S = 3.0
_CLIENTS_A_TRITON = 6  # so many that a Triton always has its next image


def measure(options: Options) -> dict[str, Any]:
    """Throughput and the gateway's processor time by number of Tritons, and the latter with an overlay too."""
    steps, failures = list[dict[str, Any]](), 0
    with ExitStack() as stack:
        some = stack.enter_context(tritons(options.folder, [options.sleep_s] * max(options.counts)))
        for count in options.counts:
            with gateway(options.folder, ",".join(one.address for one in some[:count])) as one:
                runs = [_run(one, count, options) for _ in range(options.rounds)]
                best = max(runs, key=lambda run: run["throughput"])
                failures += sum(run["failed"] for run in runs)
                steps.append({"tritons": count, **best, "rounds": [run["throughput"] for run in runs]})
                if count == options.counts[0]:
                    overlay = _run(one, count, options, visualize=True)
    return {"failed": failures, "steps": steps, "overlay": overlay}


def _run(one: Gateway, count: int, options: Options, *, visualize: bool = False) -> dict[str, Any]:
    with load([one.url], _CLIENTS_A_TRITON * count, visualize=visualize) as record:
        time.sleep(_SETTLE_S)
        begin, used = time.perf_counter(), one.processor_seconds()
        time.sleep(options.seconds)
        end, used = time.perf_counter(), one.processor_seconds() - used
    rate = record.rate(begin, end)
    return {
        "throughput": round(rate, 2),
        "failed": len(record.failures),
        "gateway_ms": round(1e3 * used / (rate * (end - begin)), 2) if rate else float("nan"),
        "gateway_busy": round(used / (end - begin), 3),
    }
