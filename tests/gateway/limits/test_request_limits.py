"""Slots, reserved bytes and deadlines of requests, and that all of them are released."""

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.limits.load_shedder import REQUEST_BYTES, LoadShedder
from gateway.limits.request_limits import RequestLimits, TimeLimits
from tests.gateway.live import PATH, Live, RawClient, listening, live_gateway, until

LIMITS = TimeLimits(body_grace=100, body_idle=100, body=100, response=100)


def assert_empty(live: Live) -> None:
    shedder = live.shedder
    assert (shedder.requests, shedder.slots_in_use, shedder.reserved_bytes, live.limiter.waiting) == (0, 0, 0, 0)


async def hold(triton: Any) -> asyncio.Event:
    triton.hold = asyncio.Event()
    return triton.hold


async def test_requests_over_the_slots_are_rejected_at_once_and_unread(triton: Any, image64: str) -> None:
    async with live_gateway(triton.port, max_concurrency=1, max_queue=1) as live:
        release = await hold(triton)
        inside = [live.start(image64) for _ in range(2)]
        await until(lambda: live.shedder.slots_in_use == 2 and live.limiter.waiting == 1 and triton.held == 1)
        assert live.limiter.in_use == 1

        async with RawClient(live.port) as client:
            await client.send_head(50_000_000)  # of which nothing is sent
            status, headers, body = await client.read_answer()
        document = json.loads(body)
        assert status == document["errorCode"] == 503
        assert "busy with 2 requests" in document["errorMsg"]
        assert int(headers["retry-after"]) >= 1
        assert live.shedder.rejected == {"slots": 1}
        # A client that sends everything before it reads gets the answer too, and may go on with its connection.
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{live.port}") as one_connection:
            for _ in range(2):
                assert (await one_connection.post(PATH, content=b"x" * 3_000_000)).status_code == 503

        release.set()
        assert [answer.status_code for answer in await asyncio.gather(*inside)] == [200, 200]
        assert (await live.post(image64)).status_code == 200
        await until(lambda: live.shedder.requests == 0)
        assert_empty(live)


async def test_only_detection_is_limited(triton: Any, image64: str) -> None:
    async with live_gateway(triton.port, max_concurrency=1, max_queue=0) as live:
        assert (await live.post(image64)).status_code == 200
        release = await hold(triton)
        inside = live.start(image64)
        await until(lambda: triton.held == 1)
        for path in ("/health", "/health/live", "/health/ready", "/models", "/openapi.json"):
            assert (await live.http.get(path)).status_code == 200, path
        assert (await live.http.get(PATH)).status_code == 405
        assert (await live.http.post(f"{PATH}/batch")).status_code == 503
        assert (await live.http.post(f"{PATH}s")).status_code == 404
        release.set()
        assert (await inside).status_code == 200


async def test_declared_bytes_are_reserved_at_once(triton: Any, image64: str) -> None:
    async with live_gateway(triton.port, max_buffered_bytes=1_000_000, body_grace=100) as live:
        async with RawClient(live.port) as first:
            await first.send_head(700_000)
            await until(lambda: live.shedder.reserved_bytes == REQUEST_BYTES + 700_000)
            answer = await live.http.post(PATH, content=b"x" * 300_000)
            assert answer.status_code == answer.json()["errorCode"] == 503
            assert int(answer.headers["retry-after"]) >= 1
            assert (await live.post(image64)).status_code == 200  # a small one fits
            answer = await live.http.post(PATH, content=b"x" * 1_000_000)  # this one never would
            assert answer.status_code == 413
            assert "for all requests together is 1,000,000" in answer.json()["errorMsg"]
        await until(lambda: live.shedder.requests == 0)  # it has left in the middle of its body
        assert live.shedder.rejected == {"bytes": 1, "too_large": 1}
        assert (await live.http.post(PATH, content=b"x" * 300_000)).status_code == 422
        assert_empty(live)


async def test_undeclared_bytes_are_reserved_as_they_arrive(triton: Any) -> None:
    settings = {"max_buffered_bytes": 1_000_000, "body_grace": 100}
    async with live_gateway(triton.port, **settings) as live, RawClient(live.port) as first:
        await first.send_head(700_000)
        await until(lambda: live.shedder.reserved_bytes > 700_000)
        for size, status in ((300_000, 503), (2_000_000, 503), (100_000, 422)):
            async with RawClient(live.port) as client:
                await client.send_head(None)
                chunk = b"x" * 50_000
                for _ in range(size // len(chunk)):
                    await client.send(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                await client.send(b"0\r\n\r\n")
                assert (await client.read_answer())[0] == status
        await first.leave()
        async with RawClient(live.port) as client:
            await until(lambda: live.shedder.requests == 0)
            await client.send_head(None)
            await client.send(b"%x\r\n%s\r\n0\r\n\r\n" % (2_000_000, b"x" * 2_000_000))
            assert (await client.read_answer())[0] == 413


async def test_a_body_over_the_limit_is_413_even_when_the_server_is_busy(triton: Any, image64: str) -> None:
    async with live_gateway(triton.port, max_concurrency=1, max_queue=0, max_body_bytes=10_000) as live:
        release = await hold(triton)
        inside = live.start(image64)
        await until(lambda: triton.held == 1)
        assert (await live.http.post(PATH, content=b"x" * 20_000)).status_code == 413
        release.set()
        assert (await inside).status_code == 200


async def test_fetched_images_and_responses_are_reserved(triton: Any, web: Any, encode_image: Any) -> None:
    fetched = encode_image(".bmp", 500, 500)  # 750 kB
    url = web.image("/a.bmp", fetched)
    async with live_gateway(triton.port, fetch_allow="127.0.0.1") as live:
        release = await hold(triton)
        inside = live.start(url, visualize=False)
        await until(lambda: triton.held == 1)
        assert live.shedder.reserved_bytes >= REQUEST_BYTES + len(fetched)
        release.set()
        assert (await inside).status_code == 200
        await until(lambda: live.shedder.reserved_bytes == 0)
    async with live_gateway(triton.port, fetch_allow="127.0.0.1", max_buffered_bytes=500_000) as live:
        answer = await live.post(url)
        assert answer.status_code == 413
        assert "for all requests" in answer.json()["errorMsg"]
        await until(lambda: live.shedder.reserved_bytes == 0)


async def test_a_byte_at_a_time_is_408(triton: Any) -> None:
    async with live_gateway(triton.port, body_timeout=0.5) as live, RawClient(live.port) as client:
        await client.send_head(1000)
        answer = asyncio.create_task(client.read_answer())
        for _ in range(999):
            await asyncio.sleep(0.05)
            if answer.done():
                break
            await client.send(b"x")
        status, headers, body = await answer
        document = json.loads(body)
        assert status == document["errorCode"] == 408
        assert "took over 0.5 s" in document["errorMsg"]
        assert headers["connection"] == "close"
        assert await client.read_end() == b""
        await until(lambda: live.shedder.requests == 0)
        assert live.shedder.rejected == {"body_timeout": 1}
        assert_empty(live)


@pytest.mark.parametrize("length", [1000, None])
async def test_a_pause_is_408(triton: Any, length: int | None) -> None:
    async with live_gateway(triton.port, body_idle_timeout=0.2) as live, RawClient(live.port) as client:
        await client.send_head(length)
        await client.send(b"{" if length else b"5\r\n{")
        status, headers, body = await client.read_answer()
        assert status == 408
        assert "paused for 0.2 s and was not complete: 1 bytes arrived" in json.loads(body)["errorMsg"]
        assert headers["connection"] == "close"
        assert await client.read_end() == b""


async def test_a_late_body_releases_its_slot(triton: Any, image64: str) -> None:
    body = json.dumps({"image": image64}).encode()
    settings: dict[str, Any] = {"max_concurrency": 1, "max_queue": 0, "body_grace": 0}
    async with live_gateway(triton.port, **settings) as live, AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(RawClient(live.port)) for _ in range(3)]
        for number, client in enumerate(slow, 1):
            await client.send_head(len(body))
            await until(lambda number=number: live.shedder.requests == number and live.shedder.slots_in_use == 0)
        assert (await live.post(image64)).status_code == 200

        release = await hold(triton)
        inside = live.start(image64)
        await until(lambda: triton.held == 1)
        assert (await live.post(image64)).status_code == 503
        await slow[0].send(body)  # complete when there is no place: it is let in all the same
        await until(lambda: live.shedder.slots_in_use == 2)
        await slow[1].send(body)  # but not as many as come
        assert (await slow[1].read_answer())[0] == 503
        release.set()
        assert (await inside).status_code == 200
        assert (await slow[0].read_answer())[0] == 200
        await slow[2].send(body)
        assert (await slow[2].read_answer())[0] == 200


async def test_a_body_that_nearly_stalls_releases_its_reservation(triton: Any) -> None:
    async with (
        live_gateway(triton.port, body_grace=0.05) as live,
        RawClient(live.port) as slow,
        RawClient(live.port) as fast,
    ):
        await slow.send_head(10_000_000)
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n".encode()
        await fast.send(head + b"x" * 1_000_000)  # fast enough for a quarter of an hour
        await until(
            lambda: live.shedder.slots_in_use == 0 and live.shedder.reserved_bytes == 2 * REQUEST_BYTES + 10_000_000
        )
        await slow.send(b"x" * 100)
        await until(lambda: live.shedder.reserved_bytes == 2 * REQUEST_BYTES + 10_000_100)


async def test_late_work_is_504_and_cancelled(triton: Any, image64: str) -> None:
    async with live_gateway(triton.port, max_concurrency=1, request_timeout=0.4) as live:
        assert (await live.post(image64)).status_code == 200
        release = await hold(triton)
        inside = [live.start(image64, logId=f"mine-{i}") for i in range(3)]  # two of them in the queue
        for i, answer in enumerate(await asyncio.gather(*inside)):
            document = answer.json()
            assert answer.status_code == document["errorCode"] == 504
            assert document["logId"] == f"mine-{i}"
            assert "within 0.4 s" in document["errorMsg"]
        await until(lambda: triton.held == 0)
        assert triton.cancelled >= 1
        assert live.shedder.rejected == {"deadline": 3}
        release.set()
        assert (await live.post(image64)).status_code == 200
        await until(lambda: live.shedder.requests == 0)
        assert_empty(live)


@pytest.mark.parametrize("visualize", [True, False])
async def test_the_work_of_a_client_that_disconnects_is_cancelled(triton: Any, image64: str, visualize: bool) -> None:
    body = json.dumps({"image": image64, "visualize": visualize}).encode()
    async with live_gateway(triton.port, max_concurrency=2) as live:
        release = await hold(triton)
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(RawClient(live.port)) for _ in range(10)]
            for client in clients:
                await client.send_head(len(body))
                await client.send(body)
            await until(lambda: triton.held == 2 and live.limiter.waiting == 8)
        await until(lambda: live.shedder.requests == 0 and triton.held == 0)
        assert triton.cancelled >= 2
        assert triton.images == []
        assert live.shedder.rejected == {"disconnect": 10}
        release.set()
        assert (await live.post(image64)).status_code == 200
        assert len(triton.images) == 1
        await until(lambda: live.shedder.requests == 0)
        assert_empty(live)


async def test_one_connection_many_requests(triton: Any, image64: str) -> None:
    body = json.dumps({"image": image64}).encode()
    async with live_gateway(triton.port) as live, RawClient(live.port) as client:
        for _ in range(5):
            await client.send_head(len(body))
            await client.send(body)
            status, headers, _ = await client.read_answer()
            assert status == 200
            assert "connection" not in headers
        await until(lambda: live.shedder.requests == 0)
        assert not live.shedder.rejected


class App:
    """Reads its body message by message and answers with `answer`."""

    def __init__(self, answer: bytes = b"done") -> None:
        self.answer = answer
        self.messages: list[Message] = []
        self.after: Message | None = None
        self.error: Exception | None = None

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        while True:
            self.messages.append(await receive())
            if not self.messages[-1].get("more_body"):
                break
        if self.error is not None:
            raise self.error
        length = str(len(self.answer)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": self.answer})
        self.after = await receive()


def unlimited() -> LoadShedder:
    return LoadShedder(slots=10, max_bytes=10**9, estimated_wait_s=lambda _: 0.0)


def limited(app: ASGIApp, shedder: LoadShedder | None = None) -> RequestLimits:
    return RequestLimits(app, path=PATH, max_body_bytes=10**9, shedder=shedder or unlimited(), time_limits=LIMITS)


async def test_small_messages_are_merged() -> None:
    app = App()
    async with (
        listening(limited(app)) as port,
        RawClient(port) as client,
    ):
        await client.send_head(5000)
        for i in range(50):
            await client.send(bytes([i]) * 100)
            await asyncio.sleep(0)
        assert (await client.read_answer())[0] == 200
    assert b"".join(message["body"] for message in app.messages) == b"".join(bytes([i]) * 100 for i in range(50))
    assert len(app.messages) == 1
    assert app.after == {"type": "http.disconnect"}

    app = App()
    async with (
        listening(limited(app)) as port,
        RawClient(port) as client,
    ):
        await client.send_head(1_000_000)
        await client.send(bytes(1_000_000))
        assert (await client.read_answer())[0] == 200
    assert sum(len(message["body"]) for message in app.messages) == 1_000_000
    assert all(len(message["body"]) >= 64 * 1024 for message in app.messages[:-1])


async def test_a_response_is_reserved_until_the_client_has_read_it() -> None:
    counts = unlimited()
    app = App(bytes(30_000_000))
    async with (
        listening(limited(app, counts)) as port,
        RawClient(port) as client,
    ):
        await client.send_head(0)
        await until(lambda: counts.reserved_bytes >= 30_000_000)
        assert (counts.requests, counts.slots_in_use) == (1, 0)
        assert (await client.read_answer())[2] == app.answer
        await until(lambda: counts.requests == 0)
        assert counts.reserved_bytes == 0


async def test_a_timeout_of_the_application_is_not_the_deadline() -> None:
    app = App()
    app.error = TimeoutError("its own")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(limited(app)), base_url="http://x") as client:
        with pytest.raises(TimeoutError, match="its own"):
            await client.post(PATH, content=b"x")


async def test_other_scopes_are_not_limited() -> None:
    seen: list[str] = []

    async def app(scope: Scope, _: Receive, __: Send) -> None:
        seen.append(scope["type"])

    async def nothing() -> Message:
        raise AssertionError

    async def nowhere(_: Message) -> None:
        raise AssertionError

    await limited(app)({"type": "lifespan"}, nothing, nowhere)
    assert seen == ["lifespan"]
