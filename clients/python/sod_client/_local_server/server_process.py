"""The process of the local server: runs triton-sod's launcher, and ends when its parent process ends.

The parent holds the other end of this process's stdin. That pipe is closed however the parent ends. The alternative, a
signal on the parent's death (PR_SET_PDEATHSIG), would already be sent when the thread that started this process ends.
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
