"""Run by test_ray.py, in a process of its own: two Ray nodes that hold a Triton each, one of which is killed.

Arguments: model, folder of images, OUTPUT. Prints a line of JSON.
"""

import json
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import ray
from ray.cluster_utils import Cluster
from sod_client._cli import server_address
from sod_client.cli import main


def run(model: str, images: str, output: str) -> dict[str, object]:
    server_address.DEFAULT_URL = "http://127.0.0.1:9"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    seen: dict[int, int] = {}  # the CPUs of each Triton by its process id
    killed: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            seen.update(tritons())
            if not killed and len(seen) == 2 and list(Path(output).glob("_sod/parts/*")):
                actor = next(one for one in psutil.Process(next(iter(seen))).parents() if "Detector" in one.name())
                actor.send_signal(signal.SIGKILL)
                killed.append(actor.pid)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        code = main(["batch", images, output, "--ray", cluster.address, "--model", model, "--no_progress"])
        ended.set()
        watcher.join()
        until = time.monotonic() + 30
        while (left := [pid for pid in seen if psutil.pid_exists(pid)]) and time.monotonic() < until:
            time.sleep(0.1)
    finally:
        ended.set()
        ray.shutdown()
        cluster.shutdown()
    return {"code": code, "cpus": list(seen.values())[:2], "killed": len(killed), "left": left}


def tritons() -> dict[int, int]:
    """The Tritons on the nodes, which are this process's children."""
    found = {}
    for process in psutil.process_iter(["name"]):
        try:
            if process.info["name"] == "tritonserver" and psutil.Process() in process.parents():
                found[process.pid] = len(process.cpu_affinity())
        except psutil.NoSuchProcess:
            continue
    return found


if __name__ == "__main__":
    print(json.dumps(run(*sys.argv[1:])))
