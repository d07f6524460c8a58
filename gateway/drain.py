"""Graceful shutdown as the application sees it."""

import asyncio
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.error_responses import error_response
from gateway.observability.request_context import response_started

DRAINING = "The server is shutting down"


class Drain:
    """Whether this process is draining: readiness is 503, and every response closes its connection.

    A signal handler sets `active`, so setting it must not take a lock.
    """

    def __init__(self) -> None:
        self.active = False


class DrainMiddleware:
    """ASGI middleware: `Connection: close` while draining, and 503 for requests that exceed the shutdown timeout."""

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start" and self._drain.active:
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        try:
            await self._app(scope, receive, send_and_close)
        except asyncio.CancelledError:  # by uvicorn, after the shutdown timeout
            if response_started() or not self._drain.active:
                raise
            response = error_response(HTTPStatus.SERVICE_UNAVAILABLE, f"{DRAINING}; try again", {"Retry-After": "1"})
            await response(scope, receive, send_and_close)
