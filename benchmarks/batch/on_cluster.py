"""Run by `cluster`, in a process of its own: `sod batch --ray` on a cluster of local nodes.

Arguments: number of nodes, address of the server, requests at once for each node, folder for the datasets, folders of
images. Writes the seconds of each folder to `seconds.json`.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from sod_client.cli import main as sod


def main() -> int:
    """Start the nodes, and detect the folders one after the other."""
    os.environ["RAY_DATA_DISABLE_PROGRESS_BARS"] = "1"
    import ray  # noqa: PLC0415 - it reads the variable
    from ray.cluster_utils import Cluster  # noqa: PLC0415

    count, url, in_flight, output, *folders = sys.argv[1:]
    out = Path(output)
    out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the nodes are ended
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(int(count)):
            cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        seconds, code = [], 0
        for number, folder in enumerate(folders):
            began = time.perf_counter()
            words = ["batch", folder, str(out / str(number)), "--url", url, "--ray", cluster.address, "--no_progress"]
            code = code or sod([*words, "--max_in_flight", in_flight])
            seconds.append(time.perf_counter() - began)
        (out / "seconds.json").write_text(json.dumps(seconds), encoding="utf-8")
    finally:
        ray.shutdown()
        cluster.shutdown()
    return code


if __name__ == "__main__":
    sys.exit(main())
