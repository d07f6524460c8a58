"""The step `machine`: what is there for a GPU, and what is not."""

import importlib.metadata
import importlib.util
import shutil
import subprocess
from typing import Any

from benchmarks.gpu_day.options import Options
from benchmarks.performance import machine

_QUERY = "name,memory.total,driver_version,compute_cap,power.limit,clocks.max.sm"
_PACKAGES = ("onnxruntime-gpu", "onnxruntime", "tensorrt", "nvidia-cudnn-cu12", "nvidia-cuda-runtime-cu12")
_TIMEOUT_S = 15


def measure(_options: Options) -> dict[str, Any]:
    """The machine, its GPUs, the packages and programs that use them.

    Returns:
        `machine`: as in other benchmarks; `gpus`: a line of nvidia-smi each; `packages`: versions; `providers`: ONNX
        Runtime's; `trtexec`: whether the program is there; `missing`: sentences.
    """
    gpus, problem = _gpus()
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    providers = _providers()
    missing = [problem] if problem else []
    if "CUDAExecutionProvider" not in providers:
        missing.append("ONNX Runtime has no CUDA provider: install onnxruntime-gpu (`unpack --install`)")
    if importlib.util.find_spec("tensorrt") is None and not shutil.which("trtexec"):
        missing.append("there is no TensorRT: neither its Python package nor trtexec")
    return {
        "machine": machine.describe(),
        "gpus": gpus,
        "packages": packages,
        "providers": providers,
        "trtexec": bool(shutil.which("trtexec")),
        "missing": missing,
    }


def _gpus() -> tuple[list[str], str]:
    """A line for each GPU, or why there is none."""
    try:
        done = subprocess.run(
            ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        return [], "there is no nvidia-smi: NVIDIA's driver is not installed, or not passed on to this container"
    except subprocess.TimeoutExpired:
        return [], f"nvidia-smi did not answer within {_TIMEOUT_S} s"
    if done.returncode:
        return [], f"nvidia-smi fails: {(done.stdout or done.stderr).strip()[:300]}"
    return done.stdout.strip().splitlines(), ""


def _providers() -> list[str]:
    try:
        import onnxruntime  # noqa: PLC0415 — it may be absent, and takes a second
    except ImportError:
        return []
    return list(onnxruntime.get_available_providers())
