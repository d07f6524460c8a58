"""Clients in a closed loop, each response with its time, so that a loss can be seen in the middle of the load."""

import base64
import http.client
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from urllib.parse import urlsplit

import numpy as np

from benchmarks.fleet.stand_in import NAME
from export.verification.images import synthetic_image
from sod.encode import encode_image

_PATH = "/small-object-detection"
_TIMEOUT_S = 120.0


@dataclass(slots=True)
class Record:
    """The responses of a load.

    Attributes:
        served: begin and end of every successful request, in seconds of `time.perf_counter`.
        failures: what every other request got.
    """

    served: list[tuple[float, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def latencies_ms(self, begin: float, end: float) -> list[float]:
        """Of the successful requests that were answered between two moments, also of those in flight at the first."""
        return [1e3 * (to - since) for since, to in list(self.served) if begin <= to < end]

    def rate(self, begin: float, end: float) -> float:
        """Responses a second between two moments."""
        return sum(begin <= to < end for _, to in list(self.served)) / (end - begin)


def p99(latencies_ms: Sequence[float]) -> float:
    """The 99th percentile; NaN if there are none."""
    return float(np.percentile(latencies_ms, 99)) if latencies_ms else float("nan")


@cache
def body(*, visualize: bool) -> bytes:
    """A request with a JPEG of 1360 x 765 pixels."""
    image = base64.b64encode(encode_image(synthetic_image(765, 1360, seed=3))).decode()
    return json.dumps({"image": image, "visualize": visualize, "model": NAME}).encode()


@contextmanager
def load(urls: Sequence[str], clients: int, *, visualize: bool = False) -> Iterator[Record]:
    """Requests of so many clients, distributed over the gateways, while the context lasts.

    At exit the requests in flight are waited for.
    """
    record, stop, content = Record(), threading.Event(), body(visualize=visualize)

    def ask(url: str) -> None:
        parts = urlsplit(url)
        with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)) as connection:
            while not stop.is_set():
                begin = time.perf_counter()
                problem = _post(connection, content)
                if problem:
                    record.failures.append(problem)
                    time.sleep(0.1)
                else:
                    record.served.append((begin, time.perf_counter()))

    threads = [threading.Thread(target=ask, args=(urls[i % len(urls)],), daemon=True) for i in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield record
    finally:
        stop.set()
        for thread in threads:
            thread.join(_TIMEOUT_S)


def _post(connection: http.client.HTTPConnection, content: bytes) -> str:
    """Send one request and return what is wrong with its response; empty if nothing is."""
    try:
        connection.request("POST", _PATH, content, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return f"{type(error).__name__}: {error}"
    return "" if response.status == http.client.OK else f"{response.status}: {text[:200].decode(errors='replace')}"
