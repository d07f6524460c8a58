"""Leaving without losing a request: what the application knows of it."""

import asyncio
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.error_responses import error_response

DRAINING = "The server is shutting down"


class Drain:
    """Whether this process has been asked to stop; from then on readiness is 503, and connections end with an answer.

    A signal handler sets it, and so it must take no lock.
    """

    def __init__(self) -> None:
        self.active = False


class Draining:
    """ASGI middleware: `Connection: close` in a drain, and 503 for what outlasts the time it had."""

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def closing(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                if self._drain.active:
                    message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        try:
            await self._app(scope, receive, closing)
        except asyncio.CancelledError:
            if started or not self._drain.active:
                raise
            response = error_response(HTTPStatus.SERVICE_UNAVAILABLE, f"{DRAINING}; try again", {"Retry-After": "1"})
            await response(scope, receive, closing)
