"""Graceful shutdown: readiness first, then the listener, and no request is lost."""

import asyncio
import os
import signal
from typing import Any

import httpx
import psutil
import pytest

from gateway.app import create_app
from gateway.drain import Drain
from gateway.http_server.connection import ConnectionLimits
from gateway.http_server.server import GatewayServer, StopSignals, make_config
from gateway.security.listen import Listener
from gateway.settings import Settings
from tests.gateway.observability.test_metrics import scrape, value
from tests.gateway.process import TIMEOUT_S, ended, insist, running, until_closed

PATH = "/small-object-detection"


def triton_at(triton: Any) -> tuple[str, str]:
    return "--triton-url", f"127.0.0.1:{triton.port}"


async def test_while_draining_requests_succeed_and_readiness_fails(triton: Any, image64: str) -> None:
    drain = Drain()
    app = create_app(Settings(triton_url=f"127.0.0.1:{triton.port}"), drain)
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        ready = await client.get("/health/ready")
        assert ready.status_code == 200
        assert "connection" not in ready.headers
        drain.active = True
        ready = await client.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["errorMsg"] == "The server is shutting down"
        assert value(await scrape(client), "sod_ready") == 0
        assert (await client.get("/health/live")).status_code == 200
        answer = await client.post(PATH, json={"image": image64})
        assert answer.status_code == 200
        assert answer.headers["connection"] == "close"


async def test_requests_are_accepted_during_the_delay_and_a_second_signal_ends_it(triton: Any, image64: str) -> None:
    options = (*triton_at(triton), "--drain-delay", "3600")
    async with running(*options) as (url, process), httpx.AsyncClient(base_url=url, timeout=60) as client:
        assert (await client.get("/health/ready")).status_code == 200
        process.send_signal(signal.SIGTERM)
        ready = await client.get("/health/ready")
        async with asyncio.timeout(TIMEOUT_S):
            while ready.status_code == 200:
                ready = await client.get("/health/ready")
        assert ready.json()["errorMsg"] == "The server is shutting down"
        answer = await client.post(PATH, json={"image": image64})
        assert answer.status_code == 200
        assert answer.headers["connection"] == "close"
        triton.hold = asyncio.Event()
        under_way = asyncio.create_task(client.post(PATH, json={"image": image64}))
        async with asyncio.timeout(TIMEOUT_S):
            await triton.arrived.wait()
            await insist(process)
        assert (await ended(process))[0] == 1
        with pytest.raises(httpx.TransportError):
            await under_way


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.usefixtures("hang_up_not_ignored")
async def test_requests_in_progress_finish(triton: Any, image64: str, number: signal.Signals) -> None:
    triton.hold = asyncio.Event()
    options = (*triton_at(triton), "--drain-delay", "0.3")
    async with running(*options) as (url, process), httpx.AsyncClient(base_url=url, timeout=60) as client:
        under_way = asyncio.create_task(client.post(PATH, json={"image": image64}))
        async with asyncio.timeout(TIMEOUT_S):
            await triton.arrived.wait()
            process.send_signal(number)
            await until_closed(url)
        assert process.returncode is None
        triton.hold.set()
        assert (await under_way).status_code == 200
        code, log = await ended(process)
    assert code == 0
    assert "Traceback" not in log


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_hang_up_that_nohup_ignores_stays_ignored(triton: Any, workers: str) -> None:
    handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the gateway inherits it
    try:
        async with running(*triton_at(triton), "--workers", workers) as (url, process):
            for one in (psutil.Process(process.pid), *psutil.Process(process.pid).children()):
                one.send_signal(signal.SIGHUP)
            await asyncio.sleep(1)
            async with httpx.AsyncClient(base_url=url, timeout=60) as client:
                assert (await client.get("/health/ready")).status_code == 200
            process.send_signal(signal.SIGTERM)
            assert (await ended(process))[0] == 0
    finally:
        signal.signal(signal.SIGHUP, handler)


async def test_requests_over_the_shutdown_timeout_are_503(triton: Any, image64: str) -> None:
    triton.hold = asyncio.Event()
    options = (*triton_at(triton), "--shutdown-timeout", "1")
    async with running(*options) as (url, process), httpx.AsyncClient(base_url=url, timeout=60) as client:
        under_way = asyncio.create_task(client.post(PATH, json={"image": image64, "logId": "mine"}))
        async with asyncio.timeout(TIMEOUT_S):
            await triton.arrived.wait()
        process.send_signal(signal.SIGTERM)
        answer = await under_way
        assert answer.status_code == answer.json()["errorCode"] == 503
        assert answer.json()["logId"] == "mine"
        assert answer.json()["errorMsg"] == "The server is shutting down; try again"
        assert answer.headers["retry-after"] == "1"
        code, log = await ended(process)
    assert code == 0
    assert "Traceback" not in log


async def test_a_port_in_use_is_one_log_line_and_a_status() -> None:
    async with running() as (url, _):
        port = url.rsplit(":", 1)[1]
        for workers in ("1", "2"):
            process = await asyncio.create_subprocess_exec(
                *(os.sys.executable, "-m", "gateway", "--port", port, "--workers", workers),  # type: ignore[attr-defined]
                stderr=asyncio.subprocess.PIPE,
            )
            code, log = await ended(process)
            assert code != 0
            assert "ddress already in use" in log
            assert "Traceback" not in log


def test_a_signal_takes_no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may come while the interrupted code holds one."""
    config = make_config(
        None, Listener("127.0.0.1", 0), limits=ConnectionLimits(60, 60), keep_alive_timeout=5, shutdown_timeout=1
    )
    server = GatewayServer(config, Drain(), drain_delay=5)

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a lock")

    for taker in ("prometheus_client.metrics.Gauge.set", "prometheus_client.metrics.Counter.inc"):
        monkeypatch.setattr(taker, refuse)
    monkeypatch.setattr("logging.Logger.handle", refuse)
    server.handle_exit(signal.SIGTERM, None)
    server.handle_exit(signal.SIGTERM, None)
    assert not server.should_exit


def test_repetitions_within_a_second_are_the_same_stop() -> None:
    now = 100.0
    stops = StopSignals(clock=lambda: now)
    assert not stops.received
    assert not stops.record()
    assert stops.received
    now += 0.5
    assert not stops.record()
    now += 1.0
    assert stops.record()
