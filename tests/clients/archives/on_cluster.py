"""Run by test_cluster.py, in a process of its own: Ray nodes that come and go, with and without servers of their own.

Arguments: address of the server, folder of images, folder for the datasets, folder of `stand_in_launcher`. Prints a
line of JSON.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ["RAY_DATA_DISABLE_PROGRESS_BARS"] = "1"
import psutil
import ray
import ray.data
from ray.cluster_utils import Cluster
from sod_client._archives.cluster import nodes as _nodes
from sod_client._archives.cluster import worker
from sod_client._cli import server_address
from sod_client.cli import main
from sod_client.ray import detect

URL, IMAGES, OUT, SITE = sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])


def run() -> dict[str, object]:
    server_address.DEFAULT_URL = "http://127.0.0.1:9"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    first = cluster.add_node(num_cpus=2)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        return {**with_gateway(cluster, first), **in_ray_data(), **with_own_servers(cluster)}
    finally:
        ray.shutdown()
        cluster.shutdown()


def batch(name: str, *words: str, act: Callable[[], object] = lambda: None) -> int:
    """Run `sod batch`, and act when the first rows are written; Ray starts nodes in the main thread only."""
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(main, ["batch", IMAGES, str(OUT / name), "--no_progress", *words])
        while not running.done() and not list((OUT / name / "_sod/parts").glob("*")):
            time.sleep(0.02)
        act()
        return running.result()


def with_gateway(cluster: Cluster, first: object) -> dict[str, object]:
    """Remove the only node while it works, and add another one."""
    lost: list[int] = []
    lose = worker.RayWorker._lose

    def counted(self, node, call, error):
        lose(self, node, call, error)
        lost.append(len(self._waiting))

    def change_nodes() -> None:
        cluster.remove_node(first, allow_graceful=False)
        cluster.add_node(num_cpus=2)

    worker.RayWorker._lose = counted
    words = ["--url", URL, "--ray", cluster.address, "--max_in_flight", "2"]
    return {"gateway": {"code": batch("gateway", *words, act=change_nodes), "lost": sum(lost)}}


def in_ray_data() -> dict[str, object]:
    paths = [{"path": str(path)} for path in sorted(Path(IMAGES).rglob("*.jpg"))[:40]] + [{"path": "no.jpg"}]
    rows = detect(ray.data.from_items(paths), url=URL, batch_size=10).take_all()
    own = detect(ray.data.from_items(paths), batch_size=10).take_all()
    return {
        "statuses": [row["status"] for row in sorted(rows, key=lambda row: row["path"])],
        "objects": sum(len(row["objects"]) for row in rows),
        "own": {"statuses": sorted(row["status"] for row in own), "servers": take_servers()},
    }


def with_own_servers(cluster: Cluster) -> dict[str, object]:
    """Nodes that hold a server each: one has another model, one cannot start it, and an actor of the third is killed.

    Then only the node is left that cannot, and it has no GPU.
    """
    for name in ("other", "fails"):
        last = cluster.add_node(num_cpus=2, node_name=name, env_vars={"STAND_IN": name})

    def kill_an_actor() -> None:
        launcher = json.loads((SITE / "servers").read_text().splitlines()[0])["pid"]
        os.kill(psutil.Process(launcher).ppid(), signal.SIGKILL)

    words = ["--ray", cluster.address, "--ray-cpus", "1", "--max_in_flight", "2"]
    found = {"code": batch("nodes", *words, act=kill_an_actor), "servers": take_servers()}
    for node in set(cluster.worker_nodes) - {last}:
        cluster.remove_node(node, allow_graceful=False)
    none = batch("none", *words)
    _nodes._NO_NODE_S = 1.0
    gpu = batch("gpu", "--ray", cluster.address, "--device", "gpu")
    return {"nodes": found, "whole": batch("whole"), "none": none, "gpu": gpu}


def take_servers() -> list[dict[str, object]]:
    """The servers that were started since the last call, and whether each has ended within ten seconds."""
    file = SITE / "servers"
    servers = [json.loads(line) for line in file.read_text().splitlines()]
    file.unlink()
    until = time.monotonic() + 10
    while any(psutil.pid_exists(one["pid"]) for one in servers) and time.monotonic() < until:
        time.sleep(0.05)
    return [{"cpus": one["cpus"], "runs": psutil.pid_exists(one["pid"])} for one in servers]


if __name__ == "__main__":
    print(json.dumps(run()))
