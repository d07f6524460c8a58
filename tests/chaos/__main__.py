"""`python -m tests.chaos`: every fault, each under load, and the table of docs/reliability.md."""

import argparse
import os
import socket
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.chaos.faults import faults
from tests.chaos.measure import Result, chaos_server, kill_everything, measure, stopped_cleanly, table


def main() -> int:
    """Exit status 0 if nothing was wrong, hung or left, 1 if something was, whatever the seconds."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--only", help="faults whose name has this text")
    options = parser.parse_args()
    chosen = [fault for fault in faults() if not options.only or options.only in fault.name]
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        for number, fault in enumerate(chosen):
            own = folder / str(number)
            own.mkdir()
            # A server of its own for each: pauses between restarts grow with restarts shortly before.
            with chaos_server(free_ports(), own, SOD_WORKERS=str(fault.workers)) as server:
                result = measure(server, fault)
                result.leftovers = stopped_cleanly(server)
            results.append(result)
            print(f"{fault.name}: {result.back_s:.1f} s", file=sys.stderr, flush=True)
        if not options.only or options.only in "everything killed":
            own = folder / "everything"
            own.mkdir()
            results.append(kill_everything(free_ports(), own))
    load = os.getloadavg()[0]
    print(f"{len(os.sched_getaffinity(0))} cores, load average {load:.1f} at the end\n")
    print(table(results))
    fine = all(
        not (r.wrong or r.hung or r.leftovers or r.bystander) and set(r.statuses) <= {200, 503, 504} for r in results
    )
    return 0 if fine else 1


def free_ports() -> list[int]:
    """Four loopback ports that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(4)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


if __name__ == "__main__":
    sys.exit(main())
