"""Runs a function in a subprocess, to isolate crashes and to free its memory.

Paddle dies by a signal on an operator that it does not know; simplifying the ONNX of SOD-L takes ten times its size.
`python -m export.isolated_process RESULT` is the subprocess; it reads the function and its arguments from stdin.
"""

import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from export.errors import ChildCrashedError, ExportError
from export.files import replacing

P = ParamSpec("P")
T = TypeVar("T")


def call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return `function(*args, **kwargs)`; the function, its arguments and its result must be picklable.

    Raises:
        ExportError: the function raised it.
        OSError: the function raised it.
        ChildCrashedError: the process died, or the function raised another exception.
    """
    with tempfile.TemporaryDirectory(prefix="triton-sod-child-") as folder:
        path = Path(folder) / "result"
        command = [sys.executable, "-m", __spec__.name, str(path)]
        done = subprocess.run(command, input=pickle.dumps((function, args, kwargs)), capture_output=True, check=False)
        if not path.is_file():
            cause = f"signal {-done.returncode}" if done.returncode < 0 else f"exit status {done.returncode}"
            output = done.stderr.decode(errors="replace").strip().splitlines()
            raise ChildCrashedError(cause, output[-1] if output and done.returncode > 0 else "")
        result, error = pickle.loads(path.read_bytes())  # noqa: S301  (written by our own process)
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]


def _main(path: Path) -> None:
    function, args, kwargs = pickle.load(sys.stdin.buffer)  # noqa: S301  (written by our own process)
    result, error = None, None
    try:
        result = function(*args, **kwargs)
    except (ExportError, OSError) as raised:
        error = raised.with_traceback(None)
    with replacing(path) as temporary:
        temporary.write_bytes(pickle.dumps((result, error)))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
