"""Several workers behind one socket."""

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

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


async def test_workers_share_the_door_the_settings_and_the_metrics(triton: Any, image64: str) -> None:
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
    assert "ended with SIGKILL; starting it again in 0 s" in log
    assert all(json.loads(line) for line in log.splitlines())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_all_drain(triton: Any, image64: str, number: signal.Signals) -> None:
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


def test_an_application_that_cannot_start_ends_the_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.http_server.processes import serve_workers
    from gateway.settings import Settings

    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.setattr("gateway.http_server.processes._work", _cannot_start)
    try:
        assert serve_workers(Settings(port=0, workers=2)) == 1
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _cannot_start(*_: Any) -> None:
    raise SystemExit(3)
