"""Spans of the gateway as a receiver gets them."""

import asyncio
import logging
import re
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from gateway.observability.tracing import Tracing
from tests.otlp import Receiver, receiver

PATH = "/small-object-detection"
SERVICE = "triton-sod-gateway"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


@pytest.fixture
def otlp() -> Iterator[Receiver]:
    with receiver() as received:
        yield received


async def test_a_request_is_one_trace(make_gateway: Any, otlp: Receiver, triton: Any, image64: str) -> None:
    async with make_gateway(otlp_endpoint=otlp.url) as gateway:
        answer = await gateway.post(PATH, json={"image": image64, "logId": "mine"}, headers=SAMPLED)
        assert answer.status_code == 200
    spans = {span.name: span for span in otlp.of(SERVICE)}
    server = spans.pop(f"POST {PATH}")
    assert (server.trace, server.parent, server.kind) == (TRACE, PARENT, "SPAN_KIND_SERVER")
    assert server.attributes["http.response.status_code"] == "200"
    assert server.attributes["http.route"] == PATH
    assert server.attributes["sod.log_id"] == "mine"
    assert {"body", "parse", "infer", "draw"} <= spans.keys()
    assert {(span.trace, span.parent) for span in spans.values()} == {(TRACE, server.id)}
    # Triton is told of the stage that calls it.
    assert triton.metadata[-1]["traceparent"] == f"00-{TRACE}-{spans['infer'].id}-01"


async def test_a_fetch_is_one_span(make_gateway: Any, otlp: Receiver, web: Any, image: bytes) -> None:
    async with make_gateway(otlp_endpoint=otlp.url, fetch_allow="127.0.0.1") as gateway:
        url = web.image("/a.jpg", image)
        assert (await gateway.post(PATH, json={"image": url, "visualize": False})).status_code == 200
    assert [span.name for span in otlp.of(SERVICE)].count("fetch") == 1


async def test_without_a_parent_a_trace_begins(make_gateway: Any, otlp: Receiver, triton: Any, image64: str) -> None:
    async with make_gateway(otlp_endpoint=otlp.url + "/") as gateway:
        for headers in ({}, {"traceparent": "garbage"}):
            await gateway.post(PATH, json={"image": image64}, headers=headers)
        for untraced in ("/health", "/health/ready", "/metrics"):
            await gateway.get(untraced, headers=SAMPLED)
    servers = [span for span in otlp.spans if not span.parent]
    assert [span.name for span in servers] == [f"POST {PATH}"] * 2
    assert len({span.trace for span in servers}) == 2
    assert {span.trace for span in otlp.spans} == {span.trace for span in servers}
    assert all(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", one["traceparent"]) for one in triton.metadata[:2])


@pytest.mark.parametrize(("ratio", "flag", "expected"), [(0, "", False), (0, "01", True), (1, "00", False)])
async def test_sampling_follows_the_ratio_and_the_parent(
    make_gateway: Any, otlp: Receiver, triton: Any, image64: str, *, ratio: float, flag: str, expected: bool
) -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-{flag}"} if flag else {}
    async with make_gateway(otlp_endpoint=otlp.url, trace_ratio=ratio) as gateway:
        assert (await gateway.post(PATH, json={"image": image64}, headers=headers)).status_code == 200
    assert bool(otlp.spans) == expected
    assert ("traceparent" in triton.metadata[-1]) == expected


async def test_a_failed_span_has_the_type_of_the_error_only(
    make_gateway: Any, otlp: Receiver, triton: Any, image64: str
) -> None:
    triton.fails = (grpc.StatusCode.UNAVAILABLE, "an inside of Triton")
    async with make_gateway(otlp_endpoint=otlp.url) as gateway:
        assert (await gateway.post(PATH, json={"image": image64})).status_code == 503
        body = {"image": "http://127.0.0.1:1/x.jpg?sig=hidden"}
        assert (await gateway.post(PATH, json=body, headers={"X-API-Key": "hidden"})).status_code == 422
    infer = next(span for span in otlp.spans if span.name == "infer")
    assert infer.attributes["error.type"] == "DetectorUnavailableError"
    assert {span.attributes.get("http.response.status_code") for span in otlp.spans if not span.parent} == {
        "503",
        "422",
    }
    assert "hidden" not in str(otlp.spans)
    assert "inside of Triton" not in str(otlp.spans)


async def test_without_a_setting_nothing_is_traced(make_gateway: Any, triton: Any, image64: str) -> None:
    async with make_gateway() as gateway:
        await gateway.post(PATH, json={"image": image64}, headers=SAMPLED)
    assert "traceparent" not in triton.metadata[-1]
    assert not [thread for thread in threading.enumerate() if "Span" in thread.name]


async def test_headers_of_the_standard_variable(
    make_gateway: Any, otlp: Receiver, image64: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x")
    async with make_gateway(otlp_endpoint=otlp.url) as gateway:
        await gateway.post(PATH, json={"image": image64})
    assert otlp.headers[0]["authorization"] == "Bearer x"


@pytest.mark.parametrize("status", [None, 503, 401])
async def test_an_unavailable_receiver_is_logged_once(
    make_gateway: Any,
    otlp: Receiver,
    free_ports: Any,
    *,
    status: int | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = otlp.url if status else f"http://127.0.0.1:{free_ports(1)[0]}"
    otlp.status = status or 200
    caplog.set_level(logging.INFO)
    async with make_gateway(otlp_endpoint=url) as gateway:
        for _ in range(3):  # more than one batch each
            for _ in range(600 // 5):
                await gateway.post(PATH, json={"image": "x"})
            await asyncio.sleep(0)
    told = [
        record
        for record in caplog.records
        if record.name.startswith(("gateway.observability.tracing", "opentelemetry"))
    ]
    assert [record.levelname for record in told] == ["WARNING"]
    assert "traces are dropped until the receiver accepts them" in told[0].getMessage()
    assert told[0].exc_info is None


async def test_a_receiver_that_hangs_does_not_delay_the_end(otlp: Receiver) -> None:
    otlp.hold = threading.Event()
    tracing = Tracing(otlp.url, ratio=1.0, version="1", export_timeout_s=300.0, close_timeout_s=0.2)
    async with asyncio.timeout(60), tracing:
        assert tracing.tracer is not None
        with tracing.tracer.start_as_current_span("span"):
            pass
        await asyncio.to_thread(otlp.asked.wait)
    assert not otlp.hold.is_set()
