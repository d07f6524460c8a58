"""Several workers behind one socket."""

import asyncio
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from ctypes import c_double
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from gateway.drain import Drain
from gateway.http_server.connection import ConnectionLimits
from gateway.http_server.processes import Target, serve_workers
from gateway.http_server.server import GatewayServer, make_config
from gateway.security.listen import Listener
from tests.gateway.observability.test_metrics import Samples, scrape, value
from tests.gateway.process import TIMEOUT_S, ended, insist, running, until_closed

PATH = "/small-object-detection"


def options(triton: Any, *more: str) -> tuple[str, ...]:
    return ("--triton-url", f"127.0.0.1:{triton.port}", "--workers", "2", *more)


def workers_of(parent: asyncio.subprocess.Process) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(parent.pid).children():
        try:
            if "spawn_main" in " ".join(child.cmdline()) and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
        except psutil.NoSuchProcess:
            pass
    return found


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110 - of other processes
            await asyncio.sleep(0.1)


async def until_serving(url: str, count: int) -> None:
    serving = 0.0
    async with asyncio.timeout(TIMEOUT_S):
        while serving != count:
            async with httpx.AsyncClient(base_url=url, timeout=60) as client:
                serving = value(await scrape(client), "sod_workers")


async def ask(url: str, body: dict[str, Any]) -> httpx.Response:
    """Over a connection of its own, so that any worker may take it."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        return await client.post(PATH, json=body)


async def scrape_counted(client: httpx.AsyncClient, inferences: int) -> Samples:
    """The samples once so many inferences are among them: a worker counts a request after its client has the answer."""
    samples: Samples = {}
    async with asyncio.timeout(TIMEOUT_S):
        while value(samples, "sod_stage_seconds_count", stage="infer") < inferences:
            samples = await scrape(client)
    return samples


def metrics_folder(worker: psutil.Process) -> Path:
    return Path(worker.environ()["PROMETHEUS_MULTIPROC_DIR"])


async def test_workers_share_the_socket_the_settings_and_the_metrics(triton: Any, image64: str) -> None:
    more = ("--default-threshold", "0.25", "--log-format", "json", "--access-log", "true", "--max-concurrency", "12")
    async with running(*options(triton, *more)) as (url, process):
        await until_serving(url, 2)
        triton.hold = asyncio.Event()
        held = [asyncio.create_task(ask(url, {"image": image64, "visualize": False})) for _ in range(12)]
        await until(lambda: len(triton.metadata) == 12)
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            assert value(await scrape(client), "sod_requests_in_flight") == 13  # and the one that asks
            triton.hold.set()
            answers = await asyncio.gather(*held)
            assert {answer.status_code for answer in answers} == {200}
            samples = await scrape_counted(client, 12)
        assert value(samples, "sod_requests_total", path=PATH, method="POST", code="200") == 12
        assert value(samples, "sod_stage_seconds_count", stage="infer") == 12
        assert value(samples, "sod_requests_in_flight") == 1
        assert {tuple(one) for one in triton.thresholds} == {(0.25,) * 10}

        # One dies: another takes its place, and what it has counted stays.
        folder = metrics_folder(workers_of(process)[0])
        assert folder.is_dir()
        first = {worker.pid for worker in workers_of(process)}
        victim = workers_of(process)[0]
        victim.kill()
        await until(lambda: victim.pid not in {w.pid for w in workers_of(process)} and len(workers_of(process)) == 2)
        assert len({worker.pid for worker in workers_of(process)} & first) == 1
        await until_serving(url, 2)
        assert (await ask(url, {"image": image64})).status_code == 200
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            samples = await scrape_counted(client, 13)
        assert value(samples, "sod_requests_total", path=PATH, method="POST", code="200") == 13
        process.send_signal(signal.SIGTERM)
        code, log = await ended(process)
    assert code == 0
    assert not folder.exists()
    assert "ended with SIGKILL; restarting it in 0 s" in log
    assert all(json.loads(line) for line in log.splitlines())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.usefixtures("hang_up_not_ignored")
async def test_all_workers_drain(triton: Any, image64: str, number: signal.Signals) -> None:
    async with running(*options(triton)) as (url, process):
        await until_serving(url, 2)
        workers = workers_of(process)
        triton.hold = asyncio.Event()
        under_way = [asyncio.create_task(ask(url, {"image": image64})) for _ in range(8)]
        await until(lambda: len(triton.metadata) == 8)
        for one in (psutil.Process(process.pid), *workers):  # as a terminal and a service manager do
            one.send_signal(number)
        await until_closed(url)
        triton.hold.set()
        answers = await asyncio.gather(*under_way)
        assert {answer.json()["errorMsg"] for answer in answers} == {"Success"}
        code, log = await ended(process)
    assert code == 0
    assert "Traceback" not in log
    assert not [worker for worker in workers if worker.is_running()]


async def test_a_second_signal_ends_all(triton: Any) -> None:
    async with running(*options(triton, "--drain-delay", "3600")) as (url, process):
        await until_serving(url, 2)
        workers = workers_of(process)
        await insist(process)
        assert (await ended(process))[0] == 1
    assert not [worker for worker in workers if worker.is_running()]


async def test_workers_die_with_their_parent(triton: Any) -> None:
    async with running(*options(triton)) as (url, process):
        await until_serving(url, 2)
        everything = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        await until(lambda: not [one for one in everything if one.is_running()])


@pytest.fixture
def _signal_handlers() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def serve(target: Target, *, worker_timeout: float = 60.0) -> int:
    config = make_config(
        None, Listener("127.0.0.1", 0), limits=ConnectionLimits(60, 60), keep_alive_timeout=5, shutdown_timeout=1
    )
    return serve_workers(target, config, count=1, worker_timeout=worker_timeout, stop_timeout=10.0)


@pytest.mark.usefixtures("_signal_handlers")
def test_an_application_that_cannot_start_ends_the_parent() -> None:
    assert serve(_cannot_start) == 1


def _cannot_start(*_: Any) -> None:
    raise SystemExit(3)


@pytest.mark.usefixtures("_signal_handlers")
def test_a_worker_whose_event_loop_hangs_is_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    started = tmp_path / "started"

    def stop_after_restart() -> None:
        until = time.monotonic() + TIMEOUT_S
        while time.monotonic() < until and len(_lines(started)) < 2:
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)

    stopping = threading.Thread(target=stop_after_restart)
    stopping.start()
    assert serve(partial(_hang, started), worker_timeout=3.0) == 0
    stopping.join()
    assert len(set(_lines(started))) == 2
    assert "worker 1 has not responded for 3 s; killing it" in caplog.text
    assert "worker 1 ended with SIGKILL; restarting it in 0 s" in caplog.text


def _hang(started: Path, listener: socket.socket, heartbeat: c_double) -> None:
    """Serve; the first worker blocks its event loop once the application has started."""
    first = not _lines(started)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        await receive()
        await send({"type": "lifespan.startup.complete"})
        with started.open("a") as file:
            file.write(f"{os.getpid()}\n")
        if first:
            time.sleep(3600)  # noqa: ASYNC251 - it is the hang
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    config = make_config(
        app, Listener("127.0.0.1", 0), limits=ConnectionLimits(60, 60), keep_alive_timeout=5, shutdown_timeout=1
    )
    GatewayServer(config, Drain(), heartbeat=heartbeat).run([listener])


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []
