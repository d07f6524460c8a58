"""Triton's metrics, appended to those of the gateway."""

import asyncio
from typing import Any

import httpx
import pytest

from gateway.observability.triton_metrics import TritonMetrics
from tests.gateway.observability.test_metrics import scrape, value

TEXT = b"""# HELP nv_inference_count Number of inferences performed
# TYPE nv_inference_count counter
nv_inference_count{model="postprocess",version="1"} 6
# HELP nv_cpu_utilization CPU utilization rate [0.0 - 1.0]
# TYPE nv_cpu_utilization gauge
nv_cpu_utilization 0.5
"""


async def test_triton_metrics_are_appended(make_gateway: Any, web: Any) -> None:
    url = web.image("/metrics", TEXT)
    async with make_gateway(triton_metrics_url=url) as gateway:
        samples = await scrape(gateway)
    # The parser gives a counter's sample the suffix that it should have.
    assert value(samples, "nv_inference_count_total", model="postprocess", version="1") == 6
    assert value(samples, "nv_cpu_utilization") == 0.5
    assert value(samples, "sod_triton_metrics_up") == 1
    assert ("sod_workers", frozenset()) in samples


async def test_without_a_url_they_are_left_out(gateway: httpx.AsyncClient) -> None:
    names = {name for name, _ in await scrape(gateway)}
    assert not {name for name in names if name.startswith("nv_") or "triton_metrics" in name}


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("HTTP/1.1 500 Oops", TEXT),
        ("HTTP/1.1 302 Found\nLocation: /elsewhere", b""),
        ("HTTP/1.1 200 OK", b"<html>not metrics</html>\n"),
        ("HTTP/1.1 200 OK", TEXT + b"sod_requests_total 1\n"),
        ("HTTP/1.1 200 OK", TEXT.rstrip()),
        ("HTTP/1.1 200 OK", b"nv_x 1\n" * 700_000),
        ("garbage", b""),
    ],
    ids=["status", "redirect", "HTML", "ours in it", "cut off", "endless", "no HTTP"],
)
async def test_anything_but_triton_metrics_is_left_out(make_gateway: Any, web: Any, head: str, body: bytes) -> None:
    url = web.answer("/metrics", head, body)
    async with make_gateway(triton_metrics_url=url) as gateway:
        samples = await scrape(gateway)
    assert ("sod_triton_metrics_up", frozenset()) in samples
    assert value(samples, "sod_triton_metrics_up") == 0
    assert not {name for name, _ in samples if name.startswith("nv_")}
    assert ("sod_workers", frozenset()) in samples


async def test_an_unavailable_or_silent_triton(make_gateway: Any, web: Any, free_ports: Any) -> None:
    async with make_gateway(triton_metrics_url=f"http://127.0.0.1:{free_ports(1)[0]}/metrics") as gateway:
        assert value(await scrape(gateway), "sod_triton_metrics_up") == 0

    async def silent(_: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async def dripping(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"nv_x 1\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    for respond in (silent, dripping):
        async with TritonMetrics(web.handle("/metrics", respond), timeout_s=0.1) as triton_metrics:
            assert (await triton_metrics.text()).endswith(b"\nsod_triton_metrics_up 0.0\n")


def test_the_url_must_be_one() -> None:
    from pydantic import ValidationError

    from gateway.settings import Settings

    for wrong in ("127.0.0.1:8002", "file:///etc/passwd"):
        with pytest.raises(ValidationError):
            Settings(triton_metrics_url=wrong)
        with pytest.raises(ValidationError):
            Settings(otlp_endpoint=wrong)
