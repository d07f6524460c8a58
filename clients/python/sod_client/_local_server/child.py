"""The local server's process: runs triton-sod's launcher, and ends when the process that started it does.

That one holds the other end of our stdin. However it ends, the pipe is closed then, and this end sees it; a signal at
the parent's death would come at the death of the thread that started us.
"""

import os
import signal
import sys
import threading
from importlib.metadata import entry_points


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    (entry,) = entry_points(group="sod.commands", name="serve")
    sys.exit(entry.load()(sys.argv[1:], prog="sod serve"))
