"""The section `kills`: SIGKILL of what takes part in a run at random moments, then the dataset is compared."""

import importlib.util
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from sod_client._archives import packages

from benchmarks import child, servers
from benchmarks.batch import victims
from benchmarks.batch.options import Options
from benchmarks.batch.runs import command, make_images, run
from benchmarks.performance.errors import BenchmarkError
from server.ready import is_ready

ON_SERVER = {"gateway": victims.gateway, "triton": victims.triton}
ON_CLUSTER = {"worker": victims.worker, "raylet": victims.raylet}
"""On a Ray cluster: the process of an actor, and that of a node, with which the node is lost."""
VICTIMS = ("client", "worker", "gateway", "raylet", "triton")

_FEW = 16  # images of a run whose duration is that of starting and ending
_FIRST_ROWS_S = 2.0  # after which a run writes the first rows
_SHARE = 0.7  # of the work that is left for a kill, since the rate may rise
_WAIT_S = 180.0  # for a server that starts again, the nodes of a cluster, and the first rows


@dataclass(frozen=True)
class _Place:
    """Where a run works, and what is killed.

    Attributes:
        images: folder.
        output: dataset.
        server: that detects.
        cluster: process id of the Ray cluster; None if Ray is not installed.
        address: of the cluster.
        concurrency: requests at once.
    """

    images: Path
    output: Path
    server: servers.Server
    cluster: int | None
    address: str
    concurrency: int

    def command(self, victim: str) -> list[str]:
        """The arguments of Python for a run in which this victim takes part."""
        more = ("--ray", self.address) if victim in ON_CLUSTER else ()
        return command(self.images, self.output, self.server.url, self.concurrency, *more)

    def parts(self) -> set[Path]:
        """The files of rows that are not merged yet."""
        return set(self.output.glob("_sod/parts/*.parquet"))

    def rows(self) -> int:
        """Of images that are done, so far as they are written."""
        parquet = packages.arrow("pyarrow.parquet")
        return sum(parquet.read_metadata(file).num_rows for file in self.parts())

    def process(self, victim: str, client: int) -> psutil.Process | None:
        """The victim's process; None if it has none now."""
        if victim == "client":
            return psutil.Process(client)
        if victim in ON_SERVER:
            return ON_SERVER[victim](self.server.pid)
        return None if self.cluster is None else ON_CLUSTER[victim](self.cluster)


def measure(options: Options) -> dict[str, Any]:
    """Kill the client, Ray's processes, the gateway and Triton in turns, resume, and compare with an undisturbed run.

    Returns:
        `kills`: of each victim, those that hit it while it worked; `asked`: of each victim, all; `images`, `rows`,
        `paths`: numbers; `differing`: names of the files that differ.
    """
    chance = np.random.default_rng(options.seed)
    few = make_images(options.folder / "images-few", options.images, _FEW)
    images = make_images(options.folder / f"images-{options.killed_count}", options.images, options.killed_count)
    whole, killed = options.folder / "whole", options.folder / "killed"
    has_ray = importlib.util.find_spec("ray") is not None
    names = [name for name in VICTIMS if has_ray or name not in ON_CLUSTER]
    turns = [names[number % len(names)] for number in range(options.kills)]
    hits = Counter(dict.fromkeys(names, 0))
    with ExitStack() as stack:
        server = stack.enter_context(
            servers.started(options.profile, [options.model], log=options.folder / "kills-server.log")
        )
        process, address = stack.enter_context(_cluster(options.folder)) if has_ray else (None, "")
        start_s = run(few, options.folder / "few", server.url, options.concurrency).seconds
        work_s = max(0.1, run(images, whole, server.url, options.concurrency).seconds - start_s)
        cluster = None if process is None else process.pid
        place = _Place(images, killed, server, cluster, address, options.concurrency)
        for number, victim in enumerate(turns):
            print(f"kills: {number + 1} of {options.kills}, {victim}", file=sys.stderr, flush=True)
            # So that the work lasts until the last kill: each run goes on where the one before was killed.
            left_s = work_s * (1 - place.rows() / options.killed_count) / (options.kills - number)
            pauses = chance.random(2) * max(0.2, left_s * _SHARE - _FIRST_ROWS_S)
            if victim == "client":  # while it starts, too
                pauses[0] += chance.uniform(0.5, 1) * start_s
            hits[victim] += _kill(victim, place, *map(float, pauses))
        run(images, killed, server.url, options.concurrency)
    paths = _paths(killed)
    asked = Counter(turns)
    return {
        "kills": dict(hits),
        "asked": {name: asked[name] for name in names},
        "images": options.killed_count,
        "rows": len(paths),
        "paths": len(set(paths)),
        "differing": _differing(whole, killed),
    }


def _kill(victim: str, place: _Place, before_s: float, after_s: float) -> bool:
    """Start a run, kill the victim, and end the run by killing the client.

    Args:
        victim: one of `VICTIMS`.
        place: where.
        before_s: seconds after the first rows, or after the start if the client is killed.
        after_s: seconds that the run goes on after the server, if it was killed, is ready again.

    Returns:
        Whether the victim worked.
    """
    old = place.parts()
    with child.started(place.command(victim), stdout=subprocess.DEVNULL) as process:  # Ray prints when a node is lost
        if victim != "client":
            _wait(lambda: process.poll() is not None or place.parts() - old, "no rows are written")
        time.sleep(before_s)
        found = place.process(victim, process.pid) if process.poll() is None else None
        if found is not None:
            found.send_signal(signal.SIGKILL)
        if victim != "client":
            _wait(lambda: is_ready(place.server.url), f"the server is not ready again after a kill of {victim}")
            time.sleep(after_s)
            process.send_signal(signal.SIGKILL)
        process.communicate()
    return found is not None


@contextmanager
def _cluster(folder: Path) -> "Iterator[tuple[subprocess.Popen[str], str]]":
    """The process of a Ray cluster, and its address."""
    file = folder / "kills-cluster"
    with child.started(["-m", "benchmarks.batch.lasting_cluster", str(file)], stdout=subprocess.DEVNULL) as process:
        _wait(lambda: file.exists() or process.poll() is not None, "the Ray cluster does not start")
        if not file.exists():
            error = "" if process.stderr is None else process.stderr.read()
            raise BenchmarkError(f"the Ray cluster does not start: {error.strip()[-500:]}")
        yield process, file.read_text(encoding="utf-8")


def _wait(is_there: Callable[[], object], otherwise: str) -> None:
    until = time.monotonic() + _WAIT_S
    while not is_there():
        if time.monotonic() > until:
            raise BenchmarkError(f"{otherwise} for {_WAIT_S:.0f} s")
        time.sleep(0.05)


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
