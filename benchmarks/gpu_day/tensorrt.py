"""The step `tensorrt`: an FP16 plan, where trtexec is there to build and to time it."""

import re
import shutil
import subprocess
from typing import Any

from benchmarks.gpu_day.options import Options
from benchmarks.performance.errors import BenchmarkError

_MEAN = re.compile(r"GPU Compute Time:.*?mean = ([0-9.]+) ms")
_RATE = re.compile(r"Throughput: ([0-9.]+) qps")


def measure(options: Options) -> dict[str, Any]:
    """Time of one image in a TensorRT FP16 plan.

    Returns:
        By model: `ms` of the GPU alone and `images_a_second`; or `missing`, a sentence.

    Raises:
        BenchmarkError: there is no trtexec.
    """
    program = shutil.which("trtexec")
    if program is None:
        raise BenchmarkError("there is no trtexec: NVIDIA's Triton and TensorRT images have it")
    results: dict[str, Any] = {}
    for model in options.models:
        file = options.repository / f"{model}_detector" / "1" / "model.onnx"
        if not file.is_file():
            results[model] = {"missing": f"{file.name} is absent"}
            continue
        command = [
            program,
            f"--onnx={file}",
            "--fp16",
            f"--duration={options.seconds:.0f}",
            "--shapes=pixels:1x640x640x3",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        (options.folder / f"trtexec-{model}.log").write_text(done.stdout + done.stderr, encoding="utf-8")
        results[model] = figures(done.stdout) if done.returncode == 0 else {"missing": "trtexec fails: see its log"}
    return results


def figures(output: str) -> dict[str, Any]:
    """The figures of what trtexec prints."""
    mean, rate = _MEAN.search(output), _RATE.search(output)
    if mean is None or rate is None:
        return {"missing": "trtexec printed no times"}
    return {"ms": float(mean[1]), "images_a_second": float(rate[1])}
