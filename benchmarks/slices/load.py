"""The sections `memory` and `latency`: what a huge image costs in memory, and the small ones beside it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx

from benchmarks import servers
from benchmarks.performance.errors import BenchmarkError
from benchmarks.performance.loadgen.clients import rest_client
from benchmarks.performance.loadgen.closed_loop import run_closed_loop
from benchmarks.performance.loadgen.usage import proportional_mib
from benchmarks.performance.sections.load import summarize
from benchmarks.slices.images import SCENE, encoded_scene
from benchmarks.slices.options import PATIENT, Options
from benchmarks.slices.requests import post, request_body

_MIB = 2**20
_SIDE = 640
_THRESHOLD = 0.5
_SAMPLE_S = 0.05
_CLIENTS = 4  # that send small images
_HUGE = (5440, 3060)


def measure_memory(options: Options) -> dict[str, Any]:
    """Memory of all server processes while one square image is detected in slices, without and with overlay.

    Returns:
        `side`; `decoded_mib`; by `plain` and `overlay`: `idle_mib`, `peak_mib`, `slices`, `seconds`.
    """
    image = encoded_scene(options.side, options.side)
    found: dict[str, Any] = {"side": options.side, "decoded_mib": round(3 * options.side**2 / _MIB, 1)}
    found["encoded_mib"] = round(len(image) / _MIB, 1)
    for name, visualize in (("plain", False), ("overlay", True)):
        # A server of its own each, since what one image leaves in the allocators would count as idle for the next.
        with _server(options) as server, httpx.Client(base_url=server.url, timeout=1800) as http:
            small = encoded_scene(*SCENE)
            for _ in range(4):
                post(http, request_body(small, options.model, _THRESHOLD, None, visualize=visualize))
            body = request_body(image, options.model, _THRESHOLD, _SIDE, visualize=visualize)
            idle = proportional_mib(server)
            began = time.perf_counter()
            with _peak(server) as samples:
                response = post(http, body)
            found[name] = {
                "idle_mib": round(idle, 1),
                "peak_mib": round(max(samples, default=idle), 1),
                "slices": int(response.headers["x-slices"]),
                "seconds": round(time.perf_counter() - began, 1),
            }
    return found


def measure_latency(options: Options) -> dict[str, Any]:
    """Latency of small whole images at concurrency 4, alone and beside one client that sends huge images in slices.

    Returns:
        `alone` and `beside`: a dict a round, as the section load of `sod bench` has them; `huge`: number of huge images
        that were answered meanwhile.
    """
    found: dict[str, Any] = {"alone": [], "beside": [], "huge": 0, "clients": _CLIENTS, "huge_size": list(_HUGE)}
    with _server(options) as server:
        small = rest_client(
            server.url, encoded_scene(*SCENE), name="small", threshold=_THRESHOLD, visualize=False, model=options.model
        )
        huge = request_body(encoded_scene(*_HUGE), options.model, _THRESHOLD, _SIDE)
        run_closed_loop(small, _CLIENTS, min(2.0, options.seconds))
        for _ in range(options.rounds):
            found["alone"].append(summarize(run_closed_loop(small, _CLIENTS, options.seconds)))
            with _sending(server.url, huge) as answered:
                found["beside"].append(summarize(run_closed_loop(small, _CLIENTS, options.seconds)))
            found["huge"] += len(answered)
    return found


@contextmanager
def _server(options: Options) -> Iterator[servers.Server]:
    arguments = ["--model-repository", str(options.repository), "--unready-restart", "3600"]
    with servers.started(options.profiles[0], [options.model], arguments, None, **PATIENT) as server:
        yield server


@contextmanager
def _peak(server: servers.Server) -> Iterator[list[float]]:
    """Sample the memory of all processes, pages that they share counted once, in MiB."""
    samples: list[float] = []
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(_SAMPLE_S):
            samples.append(proportional_mib(server))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


@contextmanager
def _sending(url: str, body: bytes) -> Iterator[list[float]]:
    """Send huge images one after another; yields the times at which they were answered."""
    answered: list[float] = []
    stop = threading.Event()
    failures: list[BenchmarkError] = []

    def send() -> None:
        with httpx.Client(base_url=url, timeout=1800) as http:
            while not stop.is_set():
                try:
                    post(http, body)
                except BenchmarkError as error:
                    failures.append(error)
                    return
                answered.append(time.perf_counter())

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    with suppress(RuntimeError):
        time.sleep(1.0)  # it has been decoded, and its first slices are in work
    try:
        yield answered
    finally:
        stop.set()
        thread.join()
    if failures:
        raise failures[0]
