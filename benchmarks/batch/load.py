"""The sections `throughput` and `memory`."""

import statistics
import sys
from typing import Any

from benchmarks import servers
from benchmarks.batch.options import Options
from benchmarks.batch.runs import Run, make_images, run
from benchmarks.sdk_throughput import body, raw_seconds
from benchmarks.stand_in import process as stand_in

_FEW = 100  # images of a run whose duration is that of starting and ending
_BODIES = 500


def measure_throughput(options: Options) -> dict[str, Any]:
    """Images a second of `sod batch`, without its start and end, and of requests that were encoded before, in turns.

    Returns:
        `batch` and `raw`: a value each round; `ratio`: the median.
    """
    many = make_images(options.folder / f"images-{options.count}", options.images, options.count)
    few = make_images(options.folder / f"images-{_FEW}", options.images, _FEW)
    bodies = [body(file, visualize=False) for file in sorted(many.rglob("*.jpg"))[:_BODIES]]
    rates: dict[str, list[float]] = {"batch": [], "raw": []}
    with servers.named_or_started(options.url, options.profile, options.model, options.folder / "server.log") as url:
        raw_seconds(url, bodies[: 4 * options.concurrency], options.concurrency)
        for number in range(options.rounds):
            for name in ("batch", "raw") if number % 2 else ("raw", "batch"):
                print(f"throughput: round {number + 1} of {options.rounds}, {name}", file=sys.stderr, flush=True)
                if name == "raw":
                    rate = len(bodies) / raw_seconds(url, bodies, options.concurrency)
                else:
                    small = run(few, options.folder / f"few-{number}", url, options.concurrency)
                    large = run(many, options.folder / f"many-{number}", url, options.concurrency)
                    rate = (options.count - _FEW) / (large.seconds - small.seconds)
                rates[name].append(round(rate, 2))
    ratios = [ours / raw for ours, raw in zip(rates["batch"], rates["raw"], strict=True)]
    return {**rates, "ratio": round(statistics.median(ratios), 4), "concurrency": options.concurrency}


def measure_memory(options: Options) -> dict[str, Any]:
    """Memory and processor time with few and with many images, and a stand-in that answers at once.

    Returns:
        `runs`: for each number of images `peak_mib`, `processor_s` and `seconds`; `cpu_ms`: of an image, without start
        and end.
    """
    runs: list[Run] = []
    with stand_in.started(0.0) as server:
        for count in options.counts:
            print(f"memory: {count} images", file=sys.stderr, flush=True)
            images = make_images(options.folder / f"images-{count}", options.images, count)
            runs.append(run(images, options.folder / f"memory-{count}", server.url, options.concurrency))
    few, many = runs
    cpu_ms = 1e3 * (many.processor_s - few.processor_s) / (options.counts[1] - options.counts[0])
    return {
        "cpu_ms": round(cpu_ms, 3),
        "runs": [
            {
                "images": count,
                "peak_mib": round(one.peak_mib, 1),
                "processor_s": round(one.processor_s, 2),
                "seconds": round(one.seconds, 2),
            }
            for count, one in zip(options.counts, runs, strict=True)
        ],
    }
