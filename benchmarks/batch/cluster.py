"""The section `cluster`: rates of one and of two local Ray nodes, with a stand-in that sleeps."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import child
from benchmarks.batch.options import Options
from benchmarks.batch.runs import make_images
from benchmarks.performance.errors import BenchmarkError
from benchmarks.stand_in import process as stand_in

_FEW = 50  # images of a run whose duration is that of starting actors and of ending
_IN_FLIGHT = 2  # of one actor, so that the sleep and not a processor is the limit
_TIMEOUT_S = 1800


def problem() -> str:
    """Why it cannot be measured; empty if it can."""
    return "" if importlib.util.find_spec("ray") else "cluster needs Ray: pip install './clients/python[ray]'"


def measure(options: Options) -> dict[str, Any]:
    """Images a second of one and of two nodes, without the start of the actors.

    Returns:
        `nodes`: for each number of nodes `rate`, and `seconds` of a run with few images and of one with many.
    """
    few = make_images(options.folder / f"images-{_FEW}", options.images, _FEW)
    many = make_images(options.folder / f"images-{options.cluster_count}", options.images, options.cluster_count)
    nodes = {}
    with stand_in.started(options.sleep_s) as server:
        for count in (1, 2):
            print(f"cluster: {count} of 2 nodes", file=sys.stderr, flush=True)
            seconds = _seconds(count, server.url, (few, many), options.folder / f"cluster-{count}")
            rate = (options.cluster_count - _FEW) / max(1e-6, seconds[1] - seconds[0])
            nodes[str(count)] = {"rate": round(rate, 2), "seconds": [round(one, 2) for one in seconds]}
    return {"sleep_s": options.sleep_s, "images": options.cluster_count, "nodes": nodes}


def _seconds(nodes: int, url: str, folders: tuple[Path, Path], output: Path) -> list[float]:
    """Seconds of a run for each folder, on a cluster that is started and ended for them.

    Raises:
        BenchmarkError: a run fails.
    """
    words = [str(nodes), url, str(_IN_FLIGHT), str(output), *map(str, folders)]
    with child.started(["-m", "benchmarks.batch.on_cluster", *words]) as process:
        try:
            _, error = process.communicate(timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"the cluster of {nodes} nodes did not end within {_TIMEOUT_S} s") from None
    if process.returncode:
        raise BenchmarkError(f"the cluster of {nodes} nodes failed: {error.strip()[-500:]}")
    seconds: list[float] = json.loads((output / "seconds.json").read_text(encoding="utf-8"))
    return seconds
