"""Time limits of connections."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import uvloop
from starlette.types import Receive, Scope, Send

from gateway.drain import Drain
from gateway.http_server.connection import ConnectionLimits
from gateway.http_server.server import GatewayServer, make_config
from gateway.security.listen import Listener
from tests.gateway.live import RawClient, listening, until

ANSWER = bytes(40_000_000)


async def refuse(_: Scope, __: Receive, send: Send) -> None:
    """Answers without reading the body."""
    await send({"type": "http.response.start", "status": 503, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"no"})


def limits(receive: float = 100, send: float = 100) -> ConnectionLimits:
    return ConnectionLimits(receive, send)


async def test_no_request_or_slow_headers_end_the_connection() -> None:
    async with listening(refuse, limits(receive=0.3)) as port:
        async with RawClient(port) as client:
            assert await client.read_end() == b""
        async with RawClient(port) as client:
            ended = asyncio.create_task(client.read_end())
            await client.send(b"GET / HTTP/1.1\r\nX: ")
            while not ended.done():
                await asyncio.sleep(0.02)
                client.writer.write(b"x")
            assert await ended == b""
        # The second request of a connection, too.
        async with RawClient(port) as client:
            await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await client.read_answer())[0] == 503
            ended = asyncio.create_task(client.read_end())
            while not ended.done():
                await asyncio.sleep(0.02)
                client.writer.write(b"\r\n")
            assert await ended == b""


async def test_the_rest_of_a_rejected_body_is_limited_in_time() -> None:
    async with listening(refuse, limits(receive=0.3)) as port, RawClient(port) as client:
        await client.send_head(10_000)
        assert (await client.read_answer())[0] == 503
        ended = asyncio.create_task(client.read_end())
        while not ended.done():
            await asyncio.sleep(0.02)
            client.writer.write(b"x")
        assert await ended == b""


async def test_the_rest_of_a_rejected_body_is_read_after_a_pause() -> None:
    async with listening(refuse, limits()) as port, RawClient(port) as client:
        await client.send_head(100_000_000)
        client.writer.transport.set_write_buffer_limits(0)
        client.writer.write(bytes(100_000_000))
        assert (await client.read_answer())[0] == 503
        assert client.writer.transport.get_write_buffer_size() > 50_000_000
        await client.writer.drain()  # but in the end


async def test_the_connection_is_kept_after_a_rejected_body() -> None:
    async with listening(refuse, limits()) as port, RawClient(port) as client:
        for _ in range(3):
            await client.send_head(1_000_000)
            await client.send(bytes(1_000_000))
            assert (await client.read_answer())[2] == b"no"


async def test_the_connection_of_a_client_that_does_not_read_is_closed() -> None:
    sent = asyncio.Event()

    async def app(_: Scope, __: Receive, send: Send) -> None:
        length = str(len(ANSWER)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": ANSWER, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        sent.set()

    async with listening(app, limits(send=0.3)) as port:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await until(sent.is_set)
            client.settimeout(30)
            received = 0
            try:
                while data := client.recv(1_000_000):
                    received += len(data)
            except ConnectionError:
                pass
            assert received < len(ANSWER)
    sent.clear()
    async with listening(app, limits(send=100)) as port, httpx.AsyncClient() as http:
        assert (await http.get(f"http://127.0.0.1:{port}/", timeout=100)).content == ANSWER


def test_many_connections_are_accepted_in_few_iterations_of_the_loop() -> None:
    clients = 300

    async def iterations() -> int:
        answered = 0

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal answered
            answered += 1
            await refuse(scope, receive, send)

        config = make_config(app, Listener("127.0.0.1", 0), limits=limits(), keep_alive_timeout=5, shutdown_timeout=10)
        server = GatewayServer(config, Drain())
        serving = asyncio.create_task(server.serve())
        await until(lambda: server.started)
        with ExitStack() as stack:
            address = server.servers[0].sockets[0].getsockname()
            for _ in range(clients):
                client = stack.enter_context(socket.create_connection(address))
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            count = 0
            async with asyncio.timeout(60):
                while answered < clients:
                    await asyncio.sleep(0)
                    count += 1
        server.should_exit = True
        await serving
        return count

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(uvloop.run, iterations()).result() < clients / 4
