"""Converts Paddle to ONNX with paddle2onnx, in a subprocess, because paddle2onnx aborts its process on an error.

`python -m export.onnx.paddle2onnx_conversion PROGRAM PARAMS ONNX OPSET` is the subprocess.
"""

import subprocess
import sys
from pathlib import Path

from export.errors import ExportError
from export.paddle.inference_model import PreNmsModel
from export.paddle.runtime import import_paddle


def convert(model: PreNmsModel, onnx_path: Path, opset: int) -> None:
    """Write the model as ONNX, with the Paddle model's inputs `image` and `scale_factor` and its two outputs.

    Raises:
        ExportError: the model cannot be converted; the text ends with paddle2onnx's message.
    """
    command = [sys.executable, "-m", __spec__.name, str(model.program), str(model.params), str(onnx_path), str(opset)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0 or not onnx_path.is_file():
        message = _error_line(done.stdout.decode(errors="replace")) or f"exit status {done.returncode}"
        raise ExportError(f"paddle2onnx cannot convert the model at opset {opset}: {message}")


def _error_line(output: str) -> str:
    """The first line with the word error, or the last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "")


def _main(program: str, params: str, onnx_path: str, opset: str) -> None:
    import_paddle()  # first, because paddle2onnx imports it with its log output
    import paddle2onnx  # noqa: PLC0415  (it loads Paddle)

    # No optimize_tool: the default lets Polygraphy install packages over the network. onnxslim folds constants too.
    paddle2onnx.export(
        program, params, onnx_path, opset_version=int(opset), auto_upgrade_opset=False, optimize_tool=None
    )


if __name__ == "__main__":
    _main(*sys.argv[1:])
