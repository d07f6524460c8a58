"""uvicorn's HTTP protocol with time limits for what uvicorn waits for without end.

These are the headers of a request, the rest of a rejected body, and a client that does not read its response. Each
would let a client occupy memory or a file descriptor for nothing.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from gateway.http_server.strict_protocol import HeadLimits, StrictHttpProtocol

# Pause before the rest of a rejected body is read. Most clients stop sending when they see the response, and reading
# megabytes only to discard them costs far more than the rejection.
_DISCARD_DELAY_S = 0.5


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of a connection; times in seconds.

    Attributes:
        receive: From the first byte of a request to the end of its headers; also for the rest of a rejected body.
        send: For the client to read what was written.
        head: Size limits of what surrounds a request's body.
    """

    receive: float
    send: float
    head: HeadLimits = field(default_factory=HeadLimits)


class HttpConnection(StrictHttpProtocol):
    """One connection."""

    def __init__(self, *args: Any, limits: ConnectionLimits, **kwargs: Any) -> None:
        super().__init__(*args, head_limits=limits.head, **kwargs)
        self._limits = limits
        self._receive_timeout: asyncio.TimerHandle | None = None
        self._send_timeout: asyncio.TimerHandle | None = None
        self._discard: asyncio.TimerHandle | None = None

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

    def on_response_complete(self) -> None:
        """Delay reading the rest of a body that the application rejected."""
        rejected = self.cycle.response_complete and self.cycle.more_body
        super().on_response_complete()
        if rejected and not self.transport.is_closing():
            self.flow.pause_reading()
            self._discard = self.loop.call_later(_DISCARD_DELAY_S, self._discard_rest)

    def on_message_complete(self) -> None:
        """Start the keep-alive timeout after the rest of a rejected body, which uvicorn does not."""
        super().on_message_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._cancel_receive_timeout()
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

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

    def _discard_rest(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def _start_receive_timeout(self) -> None:
        if not self.transport.is_closing():
            self._receive_timeout = self.loop.call_later(self._limits.receive, self.transport.abort)

    def _cancel_receive_timeout(self) -> None:
        if self._receive_timeout is not None:
            self._receive_timeout.cancel()
            self._receive_timeout = None
