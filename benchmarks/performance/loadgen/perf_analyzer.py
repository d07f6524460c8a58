"""Install NVIDIA's perf_analyzer, run it, and read its report.

The binary is in the wheel of tritonclient 2.51.0 for manylinux1; later wheels need a newer glibc than Debian 12 has. It
is linked against two libraries that are not in our lock files: the CUDA runtime, even without a GPU, and Debian's
libb64-0d. All three are kept in a folder of their own.
"""

import base64
import csv
import io
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.performance.errors import BenchmarkError
from sod.interface import IMAGE, PIXELS, SCORE_THRESHOLD

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / ".cache/perf_analyzer"
_PINS = ("tritonclient==2.51.0", "nvidia-cuda-runtime-cu12==12.9.79")
_LIBB64 = "libb64-0d"
_TIMEOUT_S = 1200
_TRIES = 3  # occasionally it fails with "failed to find the requested model version" though the model answers
# Columns of its CSV report, in microseconds: the mean durations of a request's consecutive parts, and percentiles.
_PARTS = {
    "send": "Client Send",
    "network": "Network+Server Send/Recv",
    "queue": "Server Queue",
    "compute_input": "Server Compute Input",
    "compute_infer": "Server Compute Infer",
    "compute_output": "Server Compute Output",
    "receive": "Client Recv",
}
_PERCENTILES = {
    "p50": "p50 latency",
    "p95": "p95 latency",
    "p99": "p99 latency",
}


@dataclass(frozen=True, slots=True)
class PerfAnalyzer:
    """An installed perf_analyzer.

    Attributes:
        binary: path of the program.
        libraries: folders of the shared libraries that it loads.
    """

    binary: Path
    libraries: tuple[Path, ...]

    def run(self, address: str, model: str, data: Path, concurrency: int, requests: int) -> dict[str, float]:
        """Load a model and return the report as `read_csv` does; a run that fails is repeated, three in all.

        Args:
            address: Triton's gRPC address, host:port.
            model: name of the model.
            data: file of its `--input-data`.
            concurrency: number of concurrent clients.
            requests: number of requests of all clients.

        Raises:
            BenchmarkError: every run fails; the message quotes the end of the last output.
        """
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.csv"
            command = [str(self.binary), "-m", model, "-u", address, "-i", "grpc", "--input-data", str(data)]
            command += ["--concurrency-range", str(concurrency), "--request-count", str(requests), "-f", str(report)]
            for _ in range(_TRIES):
                done = _run(command, _environment(self.libraries))
                if not done.returncode and report.is_file():
                    return read_csv(report.read_text())
        raise BenchmarkError(f"perf_analyzer failed {_TRIES} times: {done.stdout.strip()[-500:]}")


def install(folder: Path = FOLDER) -> PerfAnalyzer:
    """Download it into `folder`, unless it is there already, and check that it runs.

    Raises:
        BenchmarkError: it cannot be downloaded, or does not run on this machine.
    """
    found = PerfAnalyzer(
        folder / "bin/perf_analyzer", (folder / "site/nvidia/cuda_runtime/lib", folder / "deb/usr/lib/x86_64-linux-gnu")
    )
    if not found.binary.is_file():
        _fetch(folder)
    done = _run([str(found.binary), "--version"], _environment(found.libraries))
    if done.returncode:
        raise BenchmarkError(f"perf_analyzer does not run here: {done.stdout.strip()[-300:]}")
    return found


def _fetch(folder: Path) -> None:
    print(f"downloading perf_analyzer into {folder} (once; 20 MB)", file=sys.stderr, flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    site = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    _require([*pip, "--upgrade", "--target", str(site), *_PINS], folder, "its wheels cannot be downloaded")
    with tempfile.TemporaryDirectory(dir=folder) as work:
        if not Path("/usr/lib/x86_64-linux-gnu/libb64.so.0d").is_file():
            # Unpacking the package, unlike installing it, needs no root.
            _require(
                ["apt-get", "download", _LIBB64],
                Path(work),
                f"Debian's {_LIBB64} cannot be downloaded: apt-get install {_LIBB64}",
            )
            (package,) = Path(work).glob("*.deb")
            _require(
                ["dpkg-deb", "-x", str(package), str(folder / "deb")], folder, f"Debian's {_LIBB64} cannot be unpacked"
            )
    (folder / "bin").mkdir(exist_ok=True)
    shutil.copy2(site / "bin/perf_analyzer", folder / "bin/perf_analyzer")


def _require(command: Sequence[str], folder: Path, problem: str) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except OSError as error:
        raise BenchmarkError(f"perf_analyzer cannot be installed: {problem}: {error}") from None
    if done.returncode:
        raise BenchmarkError(f"perf_analyzer cannot be installed: {problem}: {done.stdout.strip()[-300:]}")


def _environment(libraries: Sequence[Path]) -> dict[str, str]:
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, libraries))}


def _run(command: Sequence[str], environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            command,
            env=environment,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT_S,
        )
    except OSError as error:
        raise BenchmarkError(f"perf_analyzer cannot be run: {error}") from None
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"perf_analyzer did not end within {_TIMEOUT_S} s") from None


def read_csv(text: str) -> dict[str, float]:
    """`throughput` in requests a second, and in milliseconds the parts of a request, `p50`, `p95` and `p99`.

    The throughput is the number of clients over the mean time of a request. The report's own figure is not used: with
    `--request-count` it is computed over whole seconds, and can be as low as half of the true rate.

    Raises:
        BenchmarkError: the text is not such a report.
    """
    row = next(csv.DictReader(io.StringIO(text)), {})
    try:
        parts, percentiles = (
            {name: float(row[title]) / 1e3 for name, title in titles.items()} for titles in (_PARTS, _PERCENTILES)
        )
        throughput = 1e3 * int(row["Concurrency"]) / sum(parts.values())
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        raise BenchmarkError(f"perf_analyzer's report cannot be read: {text[:200]!r}") from None
    return {"throughput": round(throughput, 3), **{name: round(ms, 3) for name, ms in (parts | percentiles).items()}}


def ensemble_data(image: bytes, classes: int, threshold: float) -> dict[str, Any]:
    """The `--input-data` of the ensemble: an encoded image, and a threshold for each class."""
    # perf_analyzer decodes base64 to the raw bytes of a tensor, in which a string is preceded by its length.
    tensor = struct.pack("<I", len(image)) + image
    entry = {"content": {"b64": base64.b64encode(tensor).decode()}, "shape": [1]}
    return {"data": [{IMAGE: entry, SCORE_THRESHOLD: [threshold] * classes}]}


def detector_data(pixels: NDArray[np.uint8]) -> dict[str, Any]:
    """The `--input-data` of the detector: pixels uint8 [H, W, 3]."""
    content = {"b64": base64.b64encode(pixels.tobytes()).decode()}
    return {"data": [{PIXELS: {"content": content, "shape": list(pixels.shape)}}]}
