"""The parts of uvicorn that `gateway.http_server` overrides or calls, and what its own supervisor lacks."""

import asyncio
import inspect
import socket
import time
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import Server, ServerState
from uvicorn.supervisors.multiprocess import Process

ROOT = Path(__file__).parents[3]


def test_the_version_is_pinned_exactly() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert f"uvicorn=={uvicorn.__version__}" in project["optional-dependencies"]["gateway"]


@pytest.mark.parametrize(
    ("function", "signature"),
    [
        (
            HttpToolsProtocol.__init__,
            "(self, config: 'Config', server_state: 'ServerState', app_state: 'dict[str, Any]', "
            "_loop: 'asyncio.AbstractEventLoop | None' = None) -> 'None'",
        ),
        (HttpToolsProtocol.connection_made, "(self, transport: 'asyncio.Transport') -> 'None'"),
        (HttpToolsProtocol.connection_lost, "(self, exc: 'Exception | None') -> 'None'"),
        (HttpToolsProtocol.data_received, "(self, data: 'bytes') -> 'None'"),
        (HttpToolsProtocol.on_headers_complete, "(self) -> 'None'"),
        (
            HttpToolsProtocol._start_asgi_task,
            "(self, cycle: 'RequestResponseCycle', app: 'ASGI3Application') -> 'None'",
        ),
        (HttpToolsProtocol.on_message_complete, "(self) -> 'None'"),
        (HttpToolsProtocol.on_response_complete, "(self) -> 'None'"),
        (HttpToolsProtocol.pause_writing, "(self) -> 'None'"),
        (HttpToolsProtocol.resume_writing, "(self) -> 'None'"),
        (HttpToolsProtocol.timeout_keep_alive_handler, "(self) -> 'None'"),
        (HttpToolsProtocol._unset_keepalive_if_required, "(self) -> 'None'"),
        (FlowControl.pause_reading, "(self) -> None"),
        (FlowControl.resume_reading, "(self) -> None"),
        (Server.__init__, "(self, config: 'Config') -> 'None'"),
        (Server.startup, "(self, sockets: 'list[socket.socket] | None' = None) -> 'None'"),
        (Server.handle_exit, "(self, sig: 'int', frame: 'FrameType | None') -> 'None'"),
        (Server.on_tick, "(self, counter: 'int') -> 'bool'"),
        (Server.run, "(self, sockets: 'list[socket.socket] | None' = None) -> 'None'"),
        (uvicorn.Config.bind_socket, "(self) -> 'socket.socket'"),
    ],
)
def test_methods_that_are_overridden_or_called(function: Any, signature: str) -> None:
    assert str(inspect.signature(function)) == signature


def test_attributes_that_are_used() -> None:
    config = uvicorn.Config(_blocking, log_config=None, lifespan="off")
    loop = asyncio.new_event_loop()
    connection = HttpToolsProtocol(config, ServerState(), {}, loop)
    server = Server(config)
    loop.close()
    assert connection.loop is loop
    assert (connection.cycle, connection.timeout_keep_alive_task, connection.timeout_keep_alive) == (None, None, 5)
    assert (server.config, server.should_exit, server.server_state.connections) == (config, False, set())
    assert config.http_protocol_class is HttpToolsProtocol
    assert config.backlog == 2048
    source = inspect.getsource(RequestResponseCycle.__init__)
    assert "self.response_complete = False" in source
    assert "self.more_body = True" in source


async def _blocking(_scope: Any, _receive: Any, _send: Any) -> None:
    time.sleep(3600)  # noqa: ASYNC251 - it blocks the event loop


def test_its_supervisor_does_not_notice_a_hanging_event_loop() -> None:
    """If this fails, uvicorn's supervisor may replace gateway/http_server/processes.py."""
    config = uvicorn.Config(_blocking, port=0, log_config=None, lifespan="off", workers=2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        worker = Process(config, [listener])
        worker.start()
        try:
            assert worker.wait_until_ready(60)
            with pytest.raises(httpx.ReadTimeout):
                httpx.get(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=httpx.Timeout(60, read=2))
            assert worker.is_alive(timeout=30)
        finally:
            worker.kill()
            worker.join()
