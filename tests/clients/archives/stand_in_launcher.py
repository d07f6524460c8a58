"""The command `serve` of the nodes of on_cluster.py: a stand-in that notes its process and its CPUs in a file.

The node's variable STAND_IN has it fail, or serve another model.
"""

import json
import os
import socket
import sys
import time
from pathlib import Path

from benchmarks.stand_in import serving


def main(argv: list[str], prog: str) -> int:  # noqa: ARG001 - the command's signature
    """Serve until SIGTERM."""
    kind, port = os.environ.get("STAND_IN"), int(argv[argv.index("--port") + 1])
    file = Path(os.environ["STAND_IN_FILE"])
    if kind == "fails":
        print("triton-sod: no model can be served", file=sys.stderr)
        return 1
    if kind == "other":
        serving._MODEL["labels"] = ["ship"]
        _wait_for_another_one(file)
    else:
        with file.open("a", encoding="utf-8") as servers:
            servers.write(json.dumps({"pid": os.getpid(), "port": port, "cpus": len(os.sched_getaffinity(0))}) + "\n")
    serving.serve(port, 0.1, 0)
    return 0


def _wait_for_another_one(file: Path) -> None:
    """The first server decides which model a run has."""
    while True:
        time.sleep(0.1)
        if file.exists() and (lines := file.read_text(encoding="utf-8").splitlines()):
            try:
                socket.create_connection(("127.0.0.1", json.loads(lines[0])["port"])).close()
            except OSError:
                continue
            time.sleep(1)
            return
