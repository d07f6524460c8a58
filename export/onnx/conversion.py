"""Paddle → ONNX with paddle2onnx, in a process of its own: where it finds no way, it aborts the one that it runs in.

`python -m export.onnx.conversion PROGRAM PARAMS ONNX OPSET` is that process.
"""

import subprocess
import sys
from pathlib import Path

from export.errors import ExportError
from export.paddle.inference_model import CutModel
from export.paddle.lazy_imports import import_paddle


def convert(cut: CutModel, onnx_path: Path, opset: int) -> None:
    """Write the cut model as ONNX: inputs `image` and `scale_factor`, two outputs, as Paddle has them.

    Raises:
        ExportError: it cannot be converted; the text ends with what paddle2onnx said.
    """
    command = [sys.executable, "-m", __spec__.name, str(cut.program), str(cut.params), str(onnx_path), str(opset)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0 or not onnx_path.is_file():
        said = _complaint(done.stdout.decode(errors="replace")) or f"exit status {done.returncode}"
        raise ExportError(f"paddle2onnx cannot convert the model at opset {opset}: {said}")


def _complaint(output: str) -> str:
    """The first line that speaks of an error, or the last one."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "")


def _main(program: str, params: str, onnx_path: str, opset: str) -> None:
    import_paddle()  # silenced, before paddle2onnx imports it aloud
    import paddle2onnx  # noqa: PLC0415  (only here: it loads Paddle)

    # No optimize_tool: the default lets Polygraphy install packages over the network. onnxslim folds constants as well.
    paddle2onnx.export(
        program, params, onnx_path, opset_version=int(opset), auto_upgrade_opset=False, optimize_tool=None
    )


if __name__ == "__main__":
    _main(*sys.argv[1:])
