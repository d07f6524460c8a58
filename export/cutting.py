"""`cut_model` in a process of its own: on an operator that it does not know, Paddle crashes the one that it runs in.

`python -m export.cutting DIRECTORY` is that process; the model comes on its standard input. What Paddle's loader holds
of a large model is given back with it.
"""

import pickle
import subprocess
import sys
from pathlib import Path

from export.errors import ExportError
from export.paddle_model import CutModel, PaddleModel, cut_model

_ANSWER = "cut.pickle"


def cut(model: PaddleModel, work_dir: Path) -> CutModel:
    """See `cut_model`.

    Raises:
        ExportError: what `cut_model` raises, or Paddle crashed.
    """
    command = [sys.executable, "-m", __spec__.name, str(work_dir)]
    done = subprocess.run(command, input=pickle.dumps(model), capture_output=True, check=False)
    answer_path = work_dir / _ANSWER
    if not answer_path.is_file():
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit status {done.returncode}"
        raise ExportError(
            f"Paddle cannot load {model.program}: it crashed with {how}, as it does where a file is damaged or holds "
            "an operator that it does not know"
        )
    answer = pickle.loads(answer_path.read_bytes())  # noqa: S301  (of our own process)
    answer_path.unlink()
    if isinstance(answer, ExportError):
        raise answer
    assert isinstance(answer, CutModel)  # noqa: S101
    return answer


def _main(work_dir: Path) -> None:
    model = pickle.load(sys.stdin.buffer)  # noqa: S301  (of our own process)
    answer: CutModel | ExportError
    try:
        answer = cut_model(model, work_dir)
    except ExportError as error:
        answer = error.with_traceback(None)
    (work_dir / _ANSWER).write_bytes(pickle.dumps(answer))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
