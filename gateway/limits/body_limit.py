"""ASGI middleware that bounds a request's body, whether or not it announces its length."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.error_responses import response_to
from gateway.errors import TooManyBytesError

_DIGITS = 18  # a length of more is over any limit, and Python refuses to convert thousands of digits


class BodyLimit:
    """Answer 413 to a body over `max_bytes`: before reading it if it says so, otherwise while it is read.

    What remains of a refused body is discarded by the server, not kept; closing the connection instead would
    reset it, and many clients would then report the reset rather than our answer.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application with a counting `receive`."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        error = TooManyBytesError(
            f"The request body is larger than {self._max_bytes:,} bytes: send a smaller image, or its URL"
        )
        announced = dict(scope["headers"]).get(b"content-length", b"")
        if announced.isdigit() and (len(announced) > _DIGITS or int(announced) > self._max_bytes):
            await response_to(error)(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > self._max_bytes:
                    raise error
            return message

        await self._app(scope, counted, send)
