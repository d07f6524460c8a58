"""A busy server refuses by the headers alone."""

from time import monotonic
from typing import Any

import httpx
from starlette.types import Receive, Scope, Send

from gateway.http_server.connection import ConnectionLimits
from tests.gateway.limits.test_request_limits import assert_empty, hold
from tests.gateway.live import PATH, RawClient, listening, live_gateway, until


async def test_a_busy_server_refuses_by_the_headers_as_the_application_does(triton: Any, image64: str) -> None:
    """The same response, without running the application; and the requests that only the application can refuse."""
    runs = 0

    async with live_gateway(
        triton.port, max_concurrency=1, max_queue=0, max_body_bytes=10_000, cors_origins="*"
    ) as live:

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal runs
            runs += 1
            await live.app(scope, receive, send)

        limits = ConnectionLimits(60, 60, refuse=live.app.state.refuse)
        release = await hold(triton)
        inside = live.start(image64)
        await until(lambda: triton.held == 1)
        async with (
            listening(counted, limits) as port,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http,
        ):
            began = monotonic()
            by_headers = await http.post(PATH, content=b"x" * 5000)
            assert (by_headers.status_code, runs) == (503, 0)
            assert live.shedder.rejected == {"slots": 1}
            assert (await http.post(f"{PATH}/batch")).status_code == 503  # on the same connection
            assert runs == 0
            assert monotonic() - began >= 1, "a client that does not wait for Retry-After is read a second later"
            closing = await http.post(PATH, content=b"x", headers={"connection": "close"})
            assert (closing.status_code, closing.headers["connection"], runs) == (503, "close", 0)

            by_application = await live.http.post(PATH, content=b"x" * 5000)
            assert by_application.status_code == 503
            assert by_headers.json() | {"logId": ""} == by_application.json() | {"logId": ""}
            assert by_application.headers.pop("vary") == "Origin"  # of CORS; nothing of it may be cached anyway
            assert by_headers.headers.multi_items() == by_application.headers.multi_items()

            other_origin = await http.post(PATH, headers={"origin": "https://app.example.com"})
            assert (other_origin.status_code, other_origin.headers["access-control-allow-origin"]) == (503, "*")
            assert (await http.post(PATH, content=b"x" * 20_000)).status_code == 413
            assert (await http.get("/health")).status_code == 200
            assert runs == 3
            release.set()
            assert (await inside).status_code == 200
            assert (await http.post(PATH, json={"image": image64})).status_code == 200
        await until(lambda: live.shedder.requests == 0)
        assert_empty(live)


async def test_pipelined_requests_are_refused_one_by_one(triton: Any, image64: str) -> None:
    async with live_gateway(triton.port, max_concurrency=1, max_queue=0) as live:
        release = await hold(triton)
        inside = live.start(image64)
        await until(lambda: triton.held == 1)
        limits = ConnectionLimits(60, 60, refuse=live.app.state.refuse)
        async with listening(live.app, limits) as port, RawClient(port) as client:
            await client.send(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi".encode() * 2000)
            for _ in range(2000):
                assert (await client.read_answer())[0] == 503
        release.set()
        assert (await inside).status_code == 200
