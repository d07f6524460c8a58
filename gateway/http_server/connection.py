"""uvicorn's HTTP protocol with time limits for what uvicorn waits for without end.

These are the headers of a request, the rest of a rejected body, and a client that does not read its response. Each
would let a client occupy memory or a file descriptor for nothing.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi import Response
from starlette.types import ASGIApp, Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from gateway.http_server.strict_protocol import HeadLimits, StrictHttpProtocol

# Pause before the rest of a rejected body is read. Most clients stop sending when they see the response, and reading
# megabytes only to discard them costs far more than the rejection.
_DISCARD_DELAY_S = 1.0
# After a refusal with `Retry-After` the next request is read no earlier, but at most so much later: a proxy may send
# another client's.
_MAX_PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of a connection; times in seconds.

    Attributes:
        receive: From the first byte of a request to the end of its headers; also for the rest of a rejected body.
        send: For the client to read what was written.
        head: Size limits of what surrounds a request's body.
        refuse: Called with the scope of every request; a response that it returns is sent instead of running the
            application.
    """

    receive: float
    send: float
    head: HeadLimits = field(default_factory=HeadLimits)
    refuse: Callable[[Scope], Response | None] | None = None


class HttpConnection(StrictHttpProtocol):
    """One connection."""

    def __init__(self, *args: Any, limits: ConnectionLimits, **kwargs: Any) -> None:
        super().__init__(*args, head_limits=limits.head, **kwargs)
        self._limits = limits
        self._receive_timeout: asyncio.TimerHandle | None = None
        self._send_timeout: asyncio.TimerHandle | None = None
        self._discard: asyncio.TimerHandle | None = None
        self._next_request_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Limit the time until the first request."""
        super().connection_made(transport)
        self._start_receive_timeout()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel all timers."""
        self._cancel_receive_timeout()
        self.resume_writing()
        if self._discard is not None:
            self._discard.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Limit the time until data that arrives between requests is a complete head."""
        super().data_received(data)
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self._receive_timeout is None and self.timeout_keep_alive_task is None:
            self._start_receive_timeout()

    def on_headers_complete(self) -> None:
        """From here on the application limits the request."""
        self._cancel_receive_timeout()
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:  # type: ignore[override]
        # Pipelined requests that waited are left to the application: refusing them here would recur for each.
        refuse = self._limits.refuse
        response = None if refuse is None or cycle is not self.cycle else refuse(self.scope)  # type: ignore[arg-type]
        if response is None:
            super()._start_asgi_task(cycle, app)  # type: ignore[arg-type]
            return
        head = [b"%b: %b\r\n" % header for header in (*cycle.default_headers, *response.raw_headers)]
        if not cycle.keep_alive:
            head.append(b"connection: close\r\n")
        self.transport.write(b"".join((STATUS_LINE[response.status_code], *head, b"\r\n", response.body)))
        cycle.response_started = cycle.response_complete = True
        pause = min(float(response.headers.get("retry-after", 0)), _MAX_PAUSE_S, self.timeout_keep_alive / 2)
        self._next_request_at = self.loop.time() + pause
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def on_response_complete(self) -> None:
        """Delay reading the rest of a body that the application rejected."""
        rejected = self.cycle.response_complete and self.cycle.more_body
        super().on_response_complete()
        if rejected and not self.transport.is_closing():
            self._pause_reading(_DISCARD_DELAY_S)

    def on_message_complete(self) -> None:
        """Start the keep-alive timeout after the rest of a rejected body, which uvicorn does not."""
        super().on_message_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._cancel_receive_timeout()
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
            if (pause := self._next_request_at - self.loop.time()) > 0:
                self._pause_reading(pause)

    def pause_writing(self) -> None:
        """Limit the time until the client has read what was written."""
        super().pause_writing()
        if self._send_timeout is None:
            self._send_timeout = self.loop.call_later(self._limits.send, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read what was written."""
        super().resume_writing()
        if self._send_timeout is not None:
            self._send_timeout.cancel()
            self._send_timeout = None

    def _pause_reading(self, seconds: float) -> None:
        if self._discard is not None:
            self._discard.cancel()
        self.flow.pause_reading()
        self._discard = self.loop.call_later(seconds, self._read_on)

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def _start_receive_timeout(self) -> None:
        if not self.transport.is_closing():
            self._receive_timeout = self.loop.call_later(self._limits.receive, self.transport.abort)

    def _cancel_receive_timeout(self) -> None:
        if self._receive_timeout is not None:
            self._receive_timeout.cancel()
            self._receive_timeout = None
