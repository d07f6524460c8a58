"""The real `tritonserver` of the wheel nvidia-pytriton, set up to run from this virtual environment.

The wheel's server looks for its parts where NVIDIA's container has them. Here they are put together in a folder: the
wheel's Python backend with the stub of the running Python, and our Python-based backends beside it.
"""

import importlib.metadata
import json
import os
import re
import shutil
import sys
import sysconfig
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from server.child import Child
from server.errors import ServerError

_SHM_BYTES = 32 * 2**20
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 — Triton's regions, not temporary files of ours
_INDEX_TIMEOUT_S = 5.0
_OWN_BACKENDS = Path(__file__).parent / "backends"
OWN_BACKENDS = ("onnxruntime", "openvino", "paddle")
BACKENDS = ("python", *OWN_BACKENDS)

# What this CUDA build says on a machine without a GPU, at each start.
_NO_GPU_NOISE = re.compile(
    rb"CUDA driver version is insufficient|CudaDriverHelper|pinned system memory|initialize NVML|DCGM unable"
)


@dataclass(frozen=True, slots=True)
class TritonPorts:
    """Loopback ports of Triton's three services."""

    http: int
    grpc: int
    metrics: int


@dataclass(frozen=True, slots=True)
class TritonOptions:
    """What an embedded server serves, and where.

    Attributes:
        repository: model repository.
        models: ensembles to load; their stages come with them.
        profile: `--model-config-name`.
        ports: all bound to loopback: this release is from before the fixes of CVE-2025-23319.
        shm_prefix: how the names of its shared-memory regions begin, so that they can be told from others'.
        verbose: log what is loaded, too.
    """

    repository: Path
    models: tuple[str, ...]
    profile: str
    ports: TritonPorts
    shm_prefix: str
    verbose: bool = False


class TritonServer(Child):
    """The server as a child process; `backends` is a folder made by `backend_directory`.

    Started again, it loads what was loaded when it last worked, with the models that came in while it ran and without
    those that were unloaded. Should it not work with these, it is started with its first ones the next time.
    """

    def __init__(self, options: TritonOptions, backends: Path) -> None:
        noise = None if options.verbose else _NO_GPU_NOISE
        super().__init__("Triton", command(options, backends), environment(), noise)
        self._options = options
        self._backends = backends
        self._loaded: tuple[str, ...] = ()

    def start(self) -> None:
        """As `Child.start`."""
        models, self._loaded = self._loaded or self._options.models, ()
        self._command = command(replace(self._options, models=models), self._backends)
        super().start()

    def note_ready(self) -> None:
        """Remember what is loaded."""
        url = f"http://127.0.0.1:{self._options.ports.http}/v2/repository/index"
        request = urllib.request.Request(url, b'{"ready": true}', {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=_INDEX_TIMEOUT_S) as answer:  # noqa: S310 — our own address
                index = json.load(answer)
            self._loaded = tuple(sorted({str(model["name"]) for model in index if model["state"] == "READY"}))
        except (OSError, ValueError, LookupError, TypeError):
            pass  # it is asked again after the next check

    def stop(self, timeout_s: float) -> None:
        """As `Child.stop`; what a server that was killed has left in shared memory is removed."""
        super().stop(timeout_s)
        for region in _SHARED_MEMORY.glob(f"{self._options.shm_prefix}*"):
            region.unlink(missing_ok=True)


def command(options: TritonOptions, backends: Path) -> list[str]:
    """The command line of an embedded server."""
    line = [
        str(server_binary()),
        f"--model-repository={options.repository}",
        f"--backend-directory={backends}",
        f"--model-config-name={options.profile}",
        "--model-control-mode=explicit",
        *(f"--load-model={model}" for model in options.models),
        # Every config.pbtxt is complete; completing would start each Python model twice.
        "--disable-auto-complete-config",
        "--exit-timeout-secs=5",
        f"--log-info={str(options.verbose).lower()}",
    ]
    for service in ("http", "grpc", "metrics"):
        line += [f"--{service}-address=127.0.0.1", f"--{service}-port={getattr(options.ports, service)}"]
    for backend in BACKENDS:
        line += [
            f"--backend-config={backend},shm-region-prefix-name={options.shm_prefix}",
            f"--backend-config={backend},stub-timeout-seconds=120",
            # Room for the tensors of two full batches at 640 from the start: a region that grows is mapped anew in
            # both processes while other tensors are on their way. At 1920 it still grows.
            f"--backend-config={backend},shm-default-byte-size={_SHM_BYTES}",
        ]
    return line


def environment() -> dict[str, str]:
    """Environment of the server and its stubs: the wheel's libraries, this Python, our limits.

    Raises:
        ServerError: the stub's libpython is not on this machine.
    """
    libraries = [str(_wheel_folder("nvidia_pytriton.libs"))]
    if own := _libpython_folder():
        libraries.append(own)
    environ = dict(os.environ)
    environ["LD_LIBRARY_PATH"] = ":".join([*libraries, *filter(None, [environ.get("LD_LIBRARY_PATH")])])
    # The stub takes its packages from the first python on the path.
    environ["PATH"] = f"{Path(sys.executable).parent}:{environ.get('PATH', '')}"
    return environ


def server_binary() -> Path:
    """Path of `tritonserver`.

    Raises:
        ServerError: the wheel is not installed.
    """
    return _wheel_folder("pytriton") / "tritonserver" / "bin" / "tritonserver"


@contextmanager
def backend_directory() -> Iterator[Path]:
    """A folder for `--backend-directory`, gone after use.

    Raises:
        ServerError: the wheel has no stub for this Python.
    """
    wheel = _wheel_folder("pytriton") / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = wheel / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.is_file():
        raise ServerError(f"nvidia-pytriton has no Python backend for Python {version}: use 3.11 or 3.12")
    with TemporaryDirectory(prefix="sod-backends-") as folder:
        root = Path(folder)
        # Copies: Triton refuses a link that leads out of the folder.
        compiled = shutil.ignore_patterns("__pycache__")
        shutil.copytree(wheel / "backends" / "python", root / "python", ignore=compiled)
        shutil.copy2(stub, root / "python")
        for name in OWN_BACKENDS:
            shutil.copytree(_OWN_BACKENDS / name, root / name, ignore=compiled)
        yield root


def _wheel_folder(name: str) -> Path:
    try:
        distribution = importlib.metadata.distribution("nvidia-pytriton")
    except importlib.metadata.PackageNotFoundError:
        raise ServerError("nvidia-pytriton is not installed: make serve, or pip install 'triton-sod[serve]'") from None
    return Path(str(distribution.locate_file(name)))


def _libpython_folder() -> str:
    """Folder of this Python's libpython if the loader would not find it by itself."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    name = f"libpython{version}.so.1.0"
    folder = sysconfig.get_config_var("LIBDIR") or ""
    if (Path(folder) / name).is_file():
        return str(folder)
    for system in ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/local/lib"):
        if (Path(system) / name).is_file():
            return ""
    raise ServerError(
        f"{name} is not on this machine, and Triton's Python models need it: apt-get install libpython{version}"
    )
