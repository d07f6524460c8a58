"""Commands of this checkout in processes of their own."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_STOP_S = 30.0


@contextmanager
def started(words: Sequence[str], *, stdout: int | None = None) -> Iterator["subprocess.Popen[str]"]:
    """Start Python with this checkout's packages; its stderr is a pipe. If it still runs at exit, it is ended.

    Args:
        words: arguments of Python, such as `-m` and a module.
        stdout: as in `subprocess.Popen`; None is this process's own.
    """
    path = os.pathsep.join([str(_ROOT), str(_ROOT / "clients/python"), os.environ.get("PYTHONPATH", "")])
    environ = {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)}
    process = subprocess.Popen(
        [sys.executable, *words], stdout=stdout, stderr=subprocess.PIPE, text=True, cwd=_ROOT, env=environ
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
