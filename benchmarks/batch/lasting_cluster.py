"""Run by `kills`, in a process of its own: two local Ray nodes, of which one that is lost is replaced, until SIGTERM.

Argument: a file for the address of the cluster.
"""

import signal
import sys
import time
from pathlib import Path

_NODES = 2


def main() -> None:
    """Start the nodes, write the address, and replace what is killed."""
    import ray  # noqa: PLC0415 - only this process needs it
    from ray.cluster_utils import Cluster  # noqa: PLC0415

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(_NODES)]
        file = Path(sys.argv[1])
        file.with_suffix(".part").write_text(cluster.address, encoding="utf-8")
        file.with_suffix(".part").rename(file)
        while True:
            for lost in [node for node in nodes if not node.remaining_processes_alive()]:
                cluster.remove_node(lost, allow_graceful=False)
                nodes.remove(lost)
                nodes.append(cluster.add_node(num_cpus=1))
            time.sleep(0.5)
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()
