"""The `tritonserver` process: its command line, and what it remembers over a restart."""

import json
import re
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path

from server.child import Child
from server.installation import OWN_BACKENDS, Installation

_SHM_BYTES = 32 * 2**20
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 — Triton's regions, not temporary files of ours
_INDEX_TIMEOUT_S = 5.0
_NEVER = 2**31 - 1  # one request in so many

# What this CUDA build says on a machine without a GPU, and Paddle with oneDNN, at each start.
_NOISE = re.compile(
    rb"CUDA driver version is insufficient|CudaDriverHelper|pinned system memory|initialize NVML|DCGM unable"
    rb"|CheckIfOneDNNSupport"
    # Two lines a batch while the receiver of traces is away; the gateway says so, once.
    rb"|\[OTLP HTTP Client\]"
)


@dataclass(frozen=True, slots=True)
class TritonPorts:
    """Loopback ports of Triton's three services."""

    http: int
    grpc: int
    metrics: int


@dataclass(frozen=True, slots=True)
class TritonOptions:
    """What a server serves, and where.

    Attributes:
        repository: model repository.
        models: ensembles to load; their stages come with them.
        profile: `--model-config-name`.
        ports: all bound to loopback: the wheel's release is from before the fixes of CVE-2025-23319.
        shm_prefix: how the names of its shared-memory regions begin, so that they can be told from others'.
        verbose: log what is loaded, too.
        otlp_endpoint: base URL of the OTLP/HTTP receiver that gets the traces; None for none.
    """

    repository: Path
    models: tuple[str, ...]
    profile: str
    ports: TritonPorts
    shm_prefix: str
    verbose: bool = False
    otlp_endpoint: str | None = None


class TritonServer(Child):
    """The server as a child process; `backends` is the folder that the installation made.

    Started again, it loads what was loaded when it last worked, with the models that came in while it ran and without
    those that were unloaded. Should it not work with these, it is started with its first ones the next time.
    """

    def __init__(self, options: TritonOptions, installation: Installation, backends: Path) -> None:
        noise = None if options.verbose else _NOISE
        super().__init__("Triton", command(options, installation.binary, backends), installation.environ, noise)
        self._options = options
        self._binary = installation.binary
        self._backends = backends
        self._loaded: tuple[str, ...] = ()

    def start(self) -> None:
        """As `Child.start`."""
        models, self._loaded = self._loaded or self._options.models, ()
        self._command = command(replace(self._options, models=models), self._binary, self._backends)
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


def command(options: TritonOptions, binary: Path, backends: Path) -> list[str]:
    """The command line of the server."""
    line = [
        str(binary),
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
    for backend in ("python", *OWN_BACKENDS):
        line += [
            f"--backend-config={backend},shm-region-prefix-name={options.shm_prefix}",
            f"--backend-config={backend},stub-timeout-seconds=120",
            # Room for the tensors of two full batches at 640 from the start: a region that grows is mapped anew in
            # both processes while other tensors are on their way. At 1920 it still grows.
            f"--backend-config={backend},shm-default-byte-size={_SHM_BYTES}",
        ]
    if options.otlp_endpoint is not None:
        line += _trace_options(options.otlp_endpoint)
    return line


def _trace_options(endpoint: str) -> list[str]:
    """Triton traces every request that brings a `traceparent`, whatever the rate; the gateway chooses, so none else."""
    settings = (
        "mode=opentelemetry",
        f"opentelemetry,url={endpoint.rstrip('/')}/v1/traces",
        "opentelemetry,resource=service.name=triton",
        f"rate={_NEVER}",
        "level=TIMESTAMPS",
    )
    return [f"--trace-config={setting}" for setting in settings]
