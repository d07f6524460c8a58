"""The Tritons and gateways of a fleet, each a process of its own, without the launcher that would restart them."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from benchmarks.fleet.stand_in import NAME, write_repository
from benchmarks.performance.errors import BenchmarkError
from server.installation import Installation, find_installation
from server.launching import free_ports, launched
from server.process.leftovers import Claim, claim
from server.triton.command import TritonOptions, TritonPorts, command
from server.triton.shared_memory import SHARED_MEMORY

_ROOT = Path(__file__).parents[2]
_REGION_BYTES = 8 * 2**20
_START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 30.0
_POLL_S = 0.1
# More images at once than the default of 8, so that the Tritons and not this setting are the limit.
GATEWAY_SETTINGS = {"SOD_MAX_CONCURRENCY": "64", "SOD_MAX_QUEUE": "128", "SOD_LOG_LEVEL": "info"}


@dataclass(slots=True)
class Triton:
    """A Triton with the stand-in, which can be killed, frozen, ended and started again at the same address.

    Attributes:
        address: of gRPC, host:port.
    """

    address: str
    _http: int
    _command: list[str]
    _installation: Installation
    _claim: Claim
    _log: Path
    _process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        """Start it; it is not ready at once."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._installation.environ,
                cwd=self._log.parent,
                pass_fds=(self._claim.descriptor,),
                start_new_session=True,
            )

    def is_ready(self) -> bool:
        """Whether it says so."""
        try:
            return httpx.get(f"http://127.0.0.1:{self._http}/v2/health/ready", timeout=1).is_success
        except httpx.HTTPError:
            return False

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it and to its Python stage, as the loss of a container or a machine would."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """End it by SIGKILL."""
        self.send(signal.SIGKILL)
        self._clean_up()

    def terminate(self) -> None:
        """End it by SIGTERM, as a rolling restart does, and wait."""
        if self._process is None:
            return
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_TIMEOUT_S)
        self.kill()

    def _clean_up(self) -> None:
        if self._process is not None:
            self._process.wait()
            self._process = None
        self._claim.remove_files()


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway.

    Attributes:
        url: its address.
        pid: its process.
    """

    url: str
    pid: int

    def processor_seconds(self) -> float:
        """Of its process, since its start."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def answered(self, triton: str) -> int:
        """How many inferences a Triton has answered for it; 0 if it does not know the Triton."""
        line = f'sod_triton_requests_total{{outcome="answered",replica="{triton}"}} '
        lines = httpx.get(f"{self.url}/metrics", timeout=30).text.splitlines()
        return next((int(float(one.removeprefix(line))) for one in lines if one.startswith(line)), 0)

    def is_ready(self) -> bool:
        """Whether an inference passes."""
        return httpx.get(f"{self.url}/health/ready", timeout=30).is_success


@contextmanager
def tritons(folder: Path, seconds: Sequence[float], hosts: Sequence[str] = ()) -> Iterator[list[Triton]]:
    """Tritons that are ready at entry, and ended at exit.

    Args:
        folder: for repositories and logs.
        seconds: that an image takes in each of them.
        hosts: address of this machine for each one's gRPC, all with the same port; empty for 127.0.0.1 with ports of
            their own.

    Raises:
        BenchmarkError: one does not become ready.
    """
    installation = find_installation()
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    backends = installation.backend_directory(work) if not (work / "backends").exists() else work / "backends"
    shared_port, *numbers = free_ports(1 + 3 * len(seconds))
    # Before the first one starts: none may read a file that is being written.
    repositories = {one: write_repository(folder / f"models-{one:g}", one) for one in set(seconds)}
    with ExitStack() as stack:
        fleet = []
        for number, one in enumerate(seconds):
            http, grpc, metrics = numbers[3 * number : 3 * number + 3]
            host = hosts[number] if hosts else "127.0.0.1"
            ports = TritonPorts(http, shared_port if hosts else grpc, metrics, host)
            regions = stack.enter_context(
                claim(SHARED_MEMORY, {"pid": os.getpid(), "ports": [http, ports.grpc, metrics]})
            )
            repository = repositories[one]
            line = command(
                TritonOptions(repository, (NAME,), "cpu_high_performance", ports),
                binary=installation.binary,
                backends=backends,
                models=(NAME,),
                shm_prefix=regions.prefix,
                region_bytes=_REGION_BYTES,
            )
            triton = Triton(f"{host}:{ports.grpc}", http, line, installation, regions, folder / f"triton-{number}.log")
            stack.callback(triton.kill)
            triton.start()
            fleet.append(triton)
        for triton in fleet:
            wait_for(triton.is_ready, f"Triton at {triton.address} to become ready (logs in {folder})")
        yield fleet


@contextmanager
def gateway(folder: Path, triton_url: str, *, prefix: Sequence[str] = (), **settings: str) -> Iterator[Gateway]:
    """A gateway on a free port, which is ready at entry.

    Args:
        folder: for its log.
        triton_url: its `SOD_TRITON_URL`.
        prefix: command that starts it, such as that of a namespace.
        settings: environment variables.

    Raises:
        server.launching.StartError: it ends, or is not ready in time.
    """
    log = folder / f"gateway-{free_ports(1)[0]}.log"

    def url() -> str:
        found = re.search(r"running on (https?://\S+)", log.read_text(encoding="utf-8"))
        return found[1] if found else ""

    def is_ready() -> bool:
        try:
            return bool(url()) and httpx.get(f"{url()}/health/ready", timeout=30).is_success
        except httpx.HTTPError:
            return False

    line = [*prefix, sys.executable, "-m", "gateway", "--port", "0", "--triton-url", triton_url]
    environ = {**GATEWAY_SETTINGS, **settings}
    with launched(
        "the gateway", line, is_ready, log=log, environ=environ, folder=_ROOT, start_timeout_s=_START_TIMEOUT_S
    ) as process:
        yield Gateway(url(), process.pid)


def wait_for(done: Callable[[], bool], what: str, timeout_s: float = _START_TIMEOUT_S) -> float:
    """Wait until something is so; returns the seconds that it took.

    Raises:
        BenchmarkError: it took longer than `timeout_s`.
    """
    began = time.perf_counter()
    while not done():
        if time.perf_counter() - began > timeout_s:
            raise BenchmarkError(f"waited {timeout_s:g} s in vain for {what}")
        time.sleep(_POLL_S)
    return time.perf_counter() - began
