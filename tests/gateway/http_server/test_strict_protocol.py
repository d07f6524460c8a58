"""What surrounds a request's body is bounded, and nothing of a request is taken for another one."""

import asyncio
import json
from collections import Counter

import pytest
from starlette.types import Receive, Scope, Send

from gateway.http_server.connection import ConnectionLimits
from gateway.http_server.strict_protocol import HeadLimits
from tests.gateway.live import RawClient, listening, until


class Echo:
    """Answers with the body's length, once it has come whole; remembers what was asked."""

    def __init__(self) -> None:
        self.requests: list[Scope] = []
        self.bodies: list[bytes] = []
        self.disconnects = 0
        self.hold: asyncio.Event | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests.append(scope)
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnects += 1
                return
            body, more = body + message["body"], message["more_body"]
        self.bodies.append(body)
        if self.hold is not None:
            done, _ = await asyncio.wait(
                [asyncio.ensure_future(self.hold.wait()), asyncio.ensure_future(receive())],
                return_when=asyncio.FIRST_COMPLETED,
            )
            if any(isinstance(one.result(), dict) for one in done):
                self.disconnects += 1
                return
        text = str(len(body)).encode()
        headers = [(b"content-length", str(len(text)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": text})


@pytest.fixture
def app() -> Echo:
    return Echo()


@pytest.fixture
def kinds() -> Counter[str]:
    return Counter()


def bounded(kinds: Counter[str]) -> ConnectionLimits:
    return ConnectionLimits(60, 60, HeadLimits(refused=lambda kind: kinds.update([kind])))


async def flood(client: RawClient, data: bytes, times: int) -> int:
    """Send over and over until it is cut; returns how often it could be sent."""
    for sent in range(times):
        try:
            await client.send(data)
        except ConnectionError:
            return sent
        await asyncio.sleep(0)
    return times


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"", b"X-A: " + b"a" * 1000 + b"\r\n"),
        (b"X-A: ", b"a" * 65536),
        (b"", b"a" * 65536),
        (b"", b"A: b\r\n"),
    ],
)
async def test_a_head_without_end_is_refused(app: Echo, kinds: Counter[str], begin: bytes, more: bytes) -> None:
    async with listening(app, bounded(kinds)) as port, RawClient(port) as client:
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n" + begin)
        flooding = asyncio.create_task(flood(client, more, 100_000))
        status, headers, body = await client.read_answer()
        assert status == 431
        assert headers["connection"] == "close"
        document = json.loads(body)
        assert document["errorCode"] == 431
        assert "headers" in document["errorMsg"]
        await client.read_end()
        await flooding
    assert (app.requests, kinds) == ([], Counter(headers=1))


async def test_a_url_without_end_is_refused(app: Echo, kinds: Counter[str]) -> None:
    async with listening(app, bounded(kinds)) as port, RawClient(port) as client:
        await client.send(b"GET /" + b"a" * 200_000)
        assert (await client.read_answer())[0] == 431
    assert app.requests == []


async def test_a_head_within_the_limits_passes_in_any_pieces(app: Echo, kinds: Counter[str]) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nX-A: " + b"a" * 60_000 + b"\r\n\r\nhi"
    async with listening(app, bounded(kinds)) as port, RawClient(port) as client:
        for size in (len(head), 70, 20_000):
            for start in range(0, len(head), size):
                await client.send(head[start : start + size])
            assert (await client.read_answer())[::2] == (200, b"2")
    assert not kinds


async def test_many_pipelined_requests_are_not_one_head(app: Echo, kinds: Counter[str]) -> None:
    one = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\nX-A: " + b"a" * 2000 + b"\r\n\r\n" + bytes(2000)
    async with listening(app, bounded(kinds)) as port, RawClient(port) as client:
        sending = asyncio.create_task(client.send(one * 100))
        assert [(await client.read_answer())[2] for _ in range(100)] == [b"2000"] * 100
        await sending
    assert not kinds


async def test_chunk_extensions_are_bounded(app: Echo, kinds: Counter[str]) -> None:
    async with listening(app, bounded(kinds)) as port, RawClient(port) as client:
        await client.send_head(None)
        await client.send(b"5;" + b"e" * 200_000)
        status, _, body = await client.read_answer()
        assert status == 400
        assert "extensions" in json.loads(body)["errorMsg"]
    await until(lambda: app.disconnects == 1)
    assert kinds == Counter(framing=1)


async def test_small_chunks_pass(app: Echo, kinds: Counter[str]) -> None:
    async with listening(app, bounded(kinds)) as port, RawClient(port) as client:
        await client.send_head(None)
        await client.send(b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n")
        assert (await client.read_answer())[::2] == (200, b"100000")
    assert not kinds


async def test_trailers_are_bounded_and_never_become_headers(app: Echo, kinds: Counter[str]) -> None:
    async with listening(app, bounded(kinds)) as port, RawClient(port) as client:
        await client.send_head(None)
        await client.send(b"1\r\nx\r\n0\r\nX-API-Key: late\r\n\r\n")
        assert (await client.read_answer())[::2] == (200, b"1")
        assert b"x-api-key" not in dict(app.requests[0]["headers"])
        await client.send_head(None)
        await client.send(b"1\r\nx\r\n0\r\n" + b"X-A: aaaaaaaaaaaaaaaaaaaa\r\n" * 10_000)
        assert (await client.read_answer())[0] == 431
    assert kinds == Counter(headers=1)


UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("late", [False, True])
async def test_the_body_of_a_request_that_offers_an_upgrade_is_read(
    app: Echo, kinds: Counter[str], framing: str, late: bool
) -> None:
    content = b"GET /models HTTP/1.1\r\nHost: x\r\n\r\n"
    if framing == "length":
        how, body = b"Content-Length: %d\r\n" % len(content), content
    else:
        how, body = b"Transfer-Encoding: chunked\r\n", b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content)
    async with listening(app, bounded(kinds)) as port, RawClient(port) as client:
        head = b"POST /first HTTP/1.1\r\nHost: x\r\n" + UPGRADE + how + b"\r\n"
        if late:
            await client.send(head)
            await asyncio.sleep(0.05)
            await client.send(body)
        else:
            await client.send(head + body)
        assert (await client.read_answer())[::2] == (200, str(len(content)).encode())
        # The connection goes on.
        await client.send(b"GET /second HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await client.read_answer())[::2] == (200, b"0")
    assert [scope["path"] for scope in app.requests] == ["/first", "/second"]
    assert app.bodies == [content, b""]


async def test_a_request_without_a_body_may_offer_an_upgrade(app: Echo, kinds: Counter[str]) -> None:
    async with listening(app, bounded(kinds)) as port, RawClient(port) as client:
        for _ in range(2):
            await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"\r\n")
            assert (await client.read_answer())[::2] == (200, b"0")


@pytest.mark.parametrize("offer", [b"Connection: close\r\n", b"Connection: close, Upgrade\r\nUpgrade: h2c\r\n"])
async def test_bytes_after_the_last_request_do_not_harm_it(app: Echo, kinds: Counter[str], offer: bytes) -> None:
    """Whether or not it offers an upgrade, for which there is a second parser."""
    async with listening(app, bounded(kinds)) as port, RawClient(port) as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n" + offer + b"\r\nhi" + b"GET / HT")
        assert (await client.read_answer())[::2] == (200, b"2")
        assert await client.read_end() == b""
    assert not kinds


@pytest.mark.parametrize("hosts", [b"", b"Host: a\r\nHost: a\r\n", b"Host: a\r\nhost: b\r\n"])
async def test_a_request_has_one_host(app: Echo, kinds: Counter[str], hosts: bytes) -> None:
    async with listening(app, bounded(kinds)) as port, RawClient(port) as client:
        await client.send(b"GET / HTTP/1.1\r\n" + hosts + b"\r\n")
        status, _, body = await client.read_answer()
        assert (status, json.loads(body)["errorCode"]) == (400, 400)
    assert (app.requests, kinds) == ([], Counter(host=1))


async def test_http_1_0_needs_no_host(app: Echo, kinds: Counter[str]) -> None:
    async with listening(app, bounded(kinds)) as port, RawClient(port) as client:
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert (await client.read_answer())[0] == 200


async def test_what_is_no_http_is_refused(app: Echo, kinds: Counter[str]) -> None:
    async with listening(app, bounded(kinds)) as port, RawClient(port) as client:
        await client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
        status, _, body = await client.read_answer()
        assert (status, json.loads(body)["errorMsg"]) == (400, "The request is not valid HTTP/1.1")
    assert kinds == Counter(http=1)


async def test_a_half_closed_client_gets_its_response(app: Echo, kinds: Counter[str]) -> None:
    app.hold = asyncio.Event()
    async with listening(app, bounded(kinds)) as port, RawClient(port) as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
        client.writer.write_eof()
        await until(lambda: bool(app.bodies))
        await asyncio.sleep(0.1)
        app.hold.set()
        received = await client.read_end()
    interim, _, final = received.rpartition(b"HTTP/1.1 200 ")
    assert final.endswith(b"\r\n\r\n2")
    assert interim.replace(b"HTTP/1.1 102 Processing\r\n\r\n", b"") == b""
    assert app.disconnects == 0


async def test_a_client_that_has_left_is_noticed(app: Echo, kinds: Counter[str]) -> None:
    app.hold = asyncio.Event()
    async with listening(app, bounded(kinds)) as port:
        async with RawClient(port) as client:
            await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
            await until(lambda: bool(app.bodies))
        await until(lambda: app.disconnects == 1)


async def test_a_half_closed_client_with_half_a_request_is_cut(app: Echo, kinds: Counter[str]) -> None:
    async with listening(app, bounded(kinds)) as port, RawClient(port) as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200\r\n\r\nhi")
        client.writer.write_eof()
        assert await client.read_end() == b""
    assert app.bodies == []
