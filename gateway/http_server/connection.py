"""uvicorn's server and HTTP protocol, made fit for more clients than it can serve.

uvicorn waits without end for a request's headers, for the rest of a body that was refused, and for a client to read
its answer; each of these is memory or a file descriptor that a client keeps for nothing. And it accepts connections
one by one, so that a refusal waits behind the work of those who are in.
"""

import asyncio
import os
import socket
from dataclasses import dataclass
from typing import Any, ClassVar

import uvicorn

from gateway.http_server.memory import give_large_blocks_back
from gateway.http_server.strict_protocol import StrictHttpProtocol

# The rest of a refused body waits so long: most clients stop sending when they see the answer, and to read megabytes
# for nothing costs far more than to refuse them.
_REST_S = 0.5

# uvloop accepts one connection an iteration of its loop from each listening descriptor.
_ACCEPTED_AT_ONCE = 32

STATE_KEY = "connection_limits"


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Seconds; the application puts them into its lifespan state under `STATE_KEY`.

    Attributes:
        receive: From a request's first byte to the end of its headers; and for the rest of a refused body.
        send: For a client to take what was written.
    """

    receive: float
    send: float


class HttpConnection(StrictHttpProtocol):
    """One connection."""

    _DEFAULT: ClassVar = ConnectionLimits(receive=60.0, send=60.0)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits: ConnectionLimits = self.app_state.get(STATE_KEY, self._DEFAULT)
        self._receiving: asyncio.TimerHandle | None = None
        self._sending: asyncio.TimerHandle | None = None
        self._resting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a request."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._expect_no_more()
        self.resume_writing()
        if self._resting is not None:
            self._resting.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; what comes while nothing is answered must become a request in time."""
        super().data_received(data)
        answered = self.cycle is None or self.cycle.response_complete
        if answered and self._receiving is None and self.timeout_keep_alive_task is None:
            self._expect()

    def on_headers_complete(self) -> None:
        """From here the application bounds the request."""
        self._expect_no_more()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """A body that is not complete by now has been refused."""
        refused = self.cycle.response_complete and self.cycle.more_body
        super().on_response_complete()
        if refused and not self.transport.is_closing():
            self.flow.pause_reading()
            self._resting = self.loop.call_later(_REST_S, self._read_on)

    def on_message_complete(self) -> None:
        """After the rest of a refused body the connection is idle, and uvicorn would not end it."""
        super().on_message_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._expect_no_more()
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def pause_writing(self) -> None:
        """The client does not keep up."""
        super().pause_writing()
        if self._sending is None:
            self._sending = self.loop.call_later(self._limits.send, self.transport.abort)

    def resume_writing(self) -> None:
        """It has caught up."""
        super().resume_writing()
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def _expect(self) -> None:
        if not self.transport.is_closing():
            self._receiving = self.loop.call_later(self._limits.receive, self.transport.abort)

    def _expect_no_more(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel()
            self._receiving = None


class Server(uvicorn.Server):
    """A server that accepts many connections an iteration of its loop, not one, and whose process gives memory back."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, on several descriptors of the one socket."""
        give_large_blocks_back()
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        for listener in [one for server in self.servers for one in server.sockets]:
            for _ in range(_ACCEPTED_AT_ONCE - 1):
                same = socket.socket(fileno=os.dup(listener.fileno()))
                self.servers.append(
                    await loop.create_server(self._connect, sock=same, ssl=self.config.ssl, backlog=self.config.backlog)
                )

    def _connect(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol
