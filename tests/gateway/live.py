"""Serve an application over a real socket in this process, and clients that misbehave."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

import httpx
from fastapi import FastAPI
from starlette.types import ASGIApp
from uvicorn import Config
from uvicorn.server import ServerState

from gateway.app import create_app
from gateway.http_server.connection import ConnectionLimits, HttpConnection
from gateway.limits.concurrency_limiter import ConcurrencyLimiter
from gateway.limits.load_shedder import LoadShedder
from gateway.settings import Settings

PATH = "/small-object-detection"
TIMEOUT_S = 30
_UNLIMITED = ConnectionLimits(receive=60.0, send=60.0)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for it."""
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.005)


@asynccontextmanager
async def listening(app: ASGIApp, limits: ConnectionLimits = _UNLIMITED) -> AsyncIterator[int]:
    """Serve an application; yields the port."""
    config = Config(app, lifespan="off", log_config=None, access_log=False, ws="none")
    config.load()
    server_state = ServerState()

    def connect() -> HttpConnection:
        return HttpConnection(config=config, server_state=server_state, app_state={}, limits=limits)

    server = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in list(server_state.connections):
            connection.transport.abort()
        await until(lambda: not server_state.connections and not server_state.tasks)
        await server.wait_closed()


@dataclass
class Live:
    """A gateway on a socket."""

    app: FastAPI
    port: int
    http: httpx.AsyncClient

    @property
    def shedder(self) -> LoadShedder:
        shedder: LoadShedder = self.app.state.shedder
        return shedder

    @property
    def limiter(self) -> ConcurrencyLimiter:
        limiter: ConcurrencyLimiter = self.app.state.limiter
        return limiter

    async def post(self, image: str, **fields: Any) -> httpx.Response:
        return await self.http.post(PATH, json={"image": image, **fields})

    def start(self, image: str, **fields: Any) -> "asyncio.Task[httpx.Response]":
        return asyncio.create_task(self.post(image, **fields))


@asynccontextmanager
async def live_gateway(triton_port: int, **settings: Any) -> AsyncIterator[Live]:
    app = create_app(Settings(triton_url=f"127.0.0.1:{triton_port}", **settings))
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with (
        app.router.lifespan_context(app),
        listening(app) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=TIMEOUT_S, limits=limits) as http,
    ):
        yield Live(app, port, http)


class RawClient:
    """A connection whose bytes are sent by hand."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def send_head(self, length: int | None, path: str = PATH) -> None:
        """The head of a POST; without a length its body is chunked."""
        how = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        await self.send(f"POST {path} HTTP/1.1\r\nHost: x\r\n{how}\r\n\r\n".encode())

    async def read_answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        async with asyncio.timeout(TIMEOUT_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            return int(head[0].split()[1]), headers, await self.reader.readexactly(int(headers["content-length"]))

    async def read_end(self) -> bytes:
        """What still comes until the server closes the connection; a reset is an end too."""
        async with asyncio.timeout(TIMEOUT_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def leave(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()
