"""Run by test_cluster.py, in a process of its own: `sod batch --ray` on nodes that come and go.

Arguments: address of the server, folder of images, folder for the datasets. Prints a line of JSON.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

os.environ["RAY_DATA_DISABLE_PROGRESS_BARS"] = "1"
import ray
import ray.data
from ray.cluster_utils import Cluster
from sod_client._archives.cluster import worker
from sod_client.cli import main
from sod_client.ray import detect


def run() -> dict[str, object]:
    url, images, out = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=2) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    lost: list[int] = []
    take = worker.RayWorker._take

    def counted(self, reference):
        before = len(self._waiting)
        yield from take(self, reference)
        lost.append(len(self._waiting) - before)

    worker.RayWorker._take = counted

    def change_nodes() -> None:
        """Remove a node when a third of the images is detected, and add another one."""
        while not list((out / "cluster/_sod/parts").glob("*")):
            time.sleep(0.05)
        cluster.remove_node(nodes[0], allow_graceful=False)
        cluster.add_node(num_cpus=2)

    changes = threading.Thread(target=change_nodes)
    changes.start()
    code = main(["batch", images, str(out / "cluster"), "--url", url, "--ray", cluster.address, "--max_in_flight", "2"])
    changes.join()
    paths = [{"path": str(path)} for path in sorted(Path(images).rglob("*.jpg"))[:40]] + [{"path": "no.jpg"}]
    rows = detect(ray.data.from_items(paths), url=url, batch_size=10).take_all()
    ray.shutdown()
    cluster.shutdown()
    return {
        "code": code,
        "lost": sum(lost),
        "statuses": [row["status"] for row in sorted(rows, key=lambda row: row["path"])],
        "objects": sum(len(row["objects"]) for row in rows),
    }


if __name__ == "__main__":
    print(json.dumps(run()))
