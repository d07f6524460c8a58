"""A server as a user starts it, and clients of it, for the end-to-end tests."""

import base64
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from numpy.typing import NDArray
from tritonclient.grpc import InferenceServerClient, InferInput

from sod.detections import Detections

START_TIMEOUT_S = 180
REPOSITORY = Path(__file__).parents[2] / "model_repository"


@dataclass
class Serving:
    """A started server: Triton, its stubs and the gateway under one launcher."""

    process: subprocess.Popen[bytes]
    url: str
    grpc: str
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
        """The process below the launcher whose command line has all these words."""
        found = [p for p in self.children() if all(word in " ".join(p.cmdline()) for word in words)]
        assert len(found) == 1, f"{words}: {found}"
        return found[0]

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def wait_for(self, condition: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
        """Poll until it holds."""
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
        return self.process.wait(30)

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
    """Start the server as `make serve` does and wait for its banner; ends it at exit if the test has not.

    `settings` are variables of its environment; `tls` is how a client trusts it, where they make it speak https.
    """
    port, http, grpc, metrics = ports
    command = [sys.executable, "-m", "server", "--model-repository", str(repository), "--port", str(port)]
    command += ["--http-port", str(http), "--grpc-port", str(grpc), "--metrics-port", str(metrics), *options]
    settings = {"SOD_FETCH_ALLOW": "127.0.0.1", **settings}  # where the tests' own web servers are
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=process_environment(**settings),
        )
    scheme = "http" if tls is None else "https"
    serving = Serving(process, f"{scheme}://127.0.0.1:{port}", f"127.0.0.1:{grpc}", log, tls)
    try:
        serving.wait_for(lambda: "Ctrl-C stops it" in log.read_text(), "the banner", START_TIMEOUT_S)
        yield serving
    finally:
        if process.poll() is None:
            serving.stop()


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
    image_tensor = InferInput("image", [len(images), 1], "BYTES")
    image_tensor.set_data_from_numpy(np.array([[image] for image in images], object))
    score_threshold = InferInput("score_threshold", list(thresholds.shape), "FP32")
    score_threshold.set_data_from_numpy(thresholds)
    result = client.infer(model, [image_tensor, score_threshold], client_timeout=120)
    return {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}


def process_environment(**changes: str) -> dict[str, str]:
    """Ours with changes."""
    return {**os.environ, **changes}
