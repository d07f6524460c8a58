"""Commands whose files cannot grow, as on a full disk."""

import resource
import signal
import subprocess
from collections.abc import Sequence


def run(command: Sequence[str], largest: int) -> subprocess.CompletedProcess[str]:
    """Run a command that can write no file of more than `largest` bytes."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))

    return subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, timeout=60, check=False)
