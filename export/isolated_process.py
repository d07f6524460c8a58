"""Runs a function of ours in a process of its own: what it crashes it crashes alone, and its memory goes with it.

On an operator that it does not know Paddle dies by a signal; simplifying the ONNX of SOD-L takes ten times its size.
`python -m export.isolated_process ANSWER` is that process; function and arguments come on its standard input.
"""

import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from export.errors import ChildCrashedError, ExportError

P = ParamSpec("P")
T = TypeVar("T")


def call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`function(*args, **kwargs)`, all of which can be pickled.

    Raises:
        ExportError: what the function raises.
        OSError: likewise.
        ChildCrashedError: the process died.
    """
    with tempfile.TemporaryDirectory(prefix="triton-sod-child-") as folder:
        path = Path(folder) / "answer"
        command = [sys.executable, "-m", __spec__.name, str(path)]
        done = subprocess.run(command, input=pickle.dumps((function, args, kwargs)), capture_output=True, check=False)
        if not path.is_file():
            how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit status {done.returncode}"
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise ChildCrashedError(how, said[-1] if said and done.returncode > 0 else "")
        answer, error = pickle.loads(path.read_bytes())  # noqa: S301  (of our own process)
    if error is not None:
        raise error
    return answer  # type: ignore[no-any-return]


def _main(path: Path) -> None:
    function, args, kwargs = pickle.load(sys.stdin.buffer)  # noqa: S301  (of our own process)
    answer, error = None, None
    try:
        answer = function(*args, **kwargs)
    except (ExportError, OSError) as raised:
        error = raised.with_traceback(None)
    part = path.with_suffix(".part")
    part.write_bytes(pickle.dumps((answer, error)))
    part.replace(path)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
