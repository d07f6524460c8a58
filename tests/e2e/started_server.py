"""Start the server as a user does, and send requests to it, for the end-to-end tests."""

import base64
import os
import signal
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from numpy.typing import NDArray
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import np_to_triton_dtype

from server.launching import launched, server_command
from sod import interface
from sod.detections import Detections

START_TIMEOUT_S = 180
STOP_TIMEOUT_S = 30
BANNER_END = "Ctrl-C stops it"
REPOSITORY = Path(__file__).parents[2] / "model_repository"


@dataclass
class Serving:
    """A running server: the launcher with its child processes, Triton, its Python stubs and the gateway."""

    process: subprocess.Popen[bytes]
    url: str
    grpc: str
    triton_http: str
    log: Path
    tls: ssl.SSLContext | None = None
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.url, timeout=60, verify=self.tls or True)

    def post(self, image: bytes | str, **fields: Any) -> httpx.Response:
        """POST one image (bytes become base64)."""
        text = base64.b64encode(image).decode() if isinstance(image, bytes) else image
        return self.http.post("/small-object-detection", json={"image": text, **fields})

    def child(self, *words: str) -> psutil.Process:
        """The one child process whose command line contains all these words."""
        found = [p for p in self.children() if all(word in command_line(p) for word in words)]
        assert len(found) == 1, f"{words}: {found}"
        return found[0]

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def wait_for(self, condition: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
        """Poll the condition until it is true."""
        until = time.monotonic() + timeout_s
        while not condition():
            assert self.process.poll() is None, f"the server ended: {self.log.read_text()}"
            assert time.monotonic() < until, f"{what} not within {timeout_s} s: {self.log.read_text()}"
            time.sleep(0.2)

    def is_ready(self) -> bool:
        try:
            return self.http.get("/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ctrl-C; returns the exit code."""
        self.http.close()
        self.process.send_signal(number)
        return self.process.wait(STOP_TIMEOUT_S)

    def shared_memory(self) -> list[Path]:
        return list(Path("/dev/shm").glob(f"sod-{self.process.pid}-*"))


@contextmanager
def serve(
    repository: Path,
    log: Path,
    ports: Sequence[int],
    *options: str,
    tls: ssl.SSLContext | None = None,
    **settings: str,
) -> Iterator[Serving]:
    """Start the server as `make serve` does and wait for its banner; it is stopped at exit.

    Args:
        repository: model repository.
        log: file for its output.
        ports: of the gateway, and Triton's for HTTP, gRPC and metrics.
        options: further ones of `python -m server`.
        tls: context of a client that trusts the server's certificate; None for plain HTTP.
        settings: environment variables.

    Raises:
        StartError: it ends, or is not ready in time.
    """
    with launched(
        "the server",
        server_command(ports, "--model-repository", str(repository), *options),
        lambda: BANNER_END in log.read_text(),
        log=log,
        environ={"SOD_FETCH_ALLOW": "127.0.0.1", **settings},  # the tests' own web servers listen there
        start_timeout_s=START_TIMEOUT_S,
        stop_timeout_s=STOP_TIMEOUT_S,
    ) as process:
        scheme = "http" if tls is None else "https"
        serving = Serving(
            process, f"{scheme}://127.0.0.1:{ports[0]}", f"127.0.0.1:{ports[2]}", f"127.0.0.1:{ports[1]}", log, tls
        )
        try:
            yield serving
        finally:
            serving.http.close()


def infer(client: InferenceServerClient, model: str, images: Sequence[bytes], threshold: float) -> list[Detections]:
    """One gRPC request of several images."""
    outputs = infer_arrays(client, model, images, np.full((len(images), 10), threshold, np.float32))
    return [
        Detections(outputs["boxes"][i, :n], outputs["scores"][i, :n], outputs["class_ids"][i, :n])
        for i, n in enumerate(outputs["num_detections"][:, 0])
    ]


def infer_arrays(
    client: InferenceServerClient, model: str, images: Sequence[bytes], thresholds: NDArray[np.float32]
) -> dict[str, NDArray[Any]]:
    """The ensemble's outputs by name."""
    encoded = np.array([[image] for image in images], object)
    return infer_tensors(client, model, {interface.IMAGE: encoded, interface.SCORE_THRESHOLD: thresholds})


def infer_tensors(
    client: InferenceServerClient, model: str, arrays: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """The outputs of any model by name, from its inputs by name."""
    inputs = []
    for name, array in arrays.items():
        inputs.append(InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype)))
        inputs[-1].set_data_from_numpy(array)
    result = client.infer(model, inputs, client_timeout=120)
    return {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}


def process_environment(**changes: str) -> dict[str, str]:
    """The environment of this process with some variables changed."""
    return {**os.environ, **changes}


def command_line(process: psutil.Process) -> str:
    """Program and arguments; empty where it has just ended, as the process of an unloaded stage does."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
