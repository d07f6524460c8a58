"""The section `kills`: SIGKILL of the client and of the server at random moments, then the dataset is compared."""

import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from sod_client._archives import packages

from benchmarks import child
from benchmarks.batch.options import Options
from benchmarks.batch.runs import command, make_images, run
from benchmarks.stand_in import process as stand_in

_SLEEP_S = 0.02
_FEW = 16  # images of a run whose duration is that of starting and ending
_DOWN_S = 0.5


def measure(options: Options) -> dict[str, Any]:
    """Kill the client and the stand-in for the server in turns, resume, and compare with an undisturbed run.

    Returns:
        `kills`: of each victim, those that hit it while it worked; `images`, `rows`, `paths`: numbers; `differing`:
        names of the files that differ.
    """
    chance = np.random.default_rng(options.seed)
    few = make_images(options.folder / "images-few", options.images, _FEW)
    images = make_images(options.folder / f"images-{options.killed_count}", options.images, options.killed_count)
    whole, killed = options.folder / "whole", options.folder / "killed"
    kills = {"client": 0, "server": 0}
    with stand_in.started(_SLEEP_S) as server:
        start_s = run(few, options.folder / "few", server.url, options.concurrency).seconds
        work_s = max(0.1, run(images, whole, server.url, options.concurrency).seconds - start_s)
        # So that the work lasts until the last kill, about: each run goes on where the one before was killed.
        longest = 2 * work_s / options.kills
        for number in range(options.kills):
            victim = ("client", "server")[number % 2]
            print(f"kills: {number + 1} of {options.kills}, {victim}", file=sys.stderr, flush=True)
            with child.started(command(images, killed, server.url, options.concurrency)) as process:
                time.sleep(chance.uniform(0.5, 1) * start_s + chance.random() * longest)
                if victim == "client":
                    kills["client"] += process.poll() is None
                    process.send_signal(signal.SIGKILL)
                else:
                    kills["server"] += process.poll() is None
                    server.kill()
                    time.sleep(_DOWN_S)
                    server.start()
                    time.sleep(chance.random() * longest)
                    process.send_signal(signal.SIGKILL)
                process.communicate()
        run(images, killed, server.url, options.concurrency)
    paths = _paths(killed)
    return {
        "kills": kills,
        "images": options.killed_count,
        "rows": len(paths),
        "paths": len(set(paths)),
        "differing": _differing(whole, killed),
    }


def _paths(dataset: Path) -> list[str]:
    parquet = packages.arrow("pyarrow.parquet")
    return [
        path
        for file in sorted(dataset.glob("images-*.parquet"))
        for path in parquet.read_table(file, columns=["path"])["path"].to_pylist()
    ]


def _differing(one: Path, other: Path) -> list[str]:
    """Names of the sorted files that are not the same byte for byte in two datasets, or are in one only."""
    names = sorted({file.name for dataset in (one, other) for file in dataset.glob("images-*.parquet")})
    return [name for name in names if _content(one / name) != _content(other / name)]


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.exists() else None
