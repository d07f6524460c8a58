"""ASGI middleware that limits request bodies, concurrent requests, reserved memory and response times.

When the body of a detection request is complete, the client is monitored: if it disconnects, or if the response is
late, the work is cancelled, including the call of Triton.
"""

import asyncio
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.error_responses import response_to
from gateway.errors import BodyTimeoutError, GatewayError, GatewayTimeoutError, TooManyBytesError
from gateway.limits.content_length import parse_content_length
from gateway.limits.load_shedder import LoadShedder, Permit
from gateway.observability import metrics

# A late body is checked this often. A body slower than the rate loses the reservation for what has not arrived. The
# rate is far below that of any real client: an overloaded server reads slowly too, and should not reject half a body.
_CHECK_INTERVAL_S = 1.0
_MIN_BYTES_PER_S = 1024
# Small body messages are merged up to this size, so that a body sent byte by byte is not millions of messages.
_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Time limits of a detection request in seconds.

    Attributes:
        body_grace: After this time an incomplete body loses its slot.
        body_idle: Longest pause without a byte of the body.
        body: Longest time for the whole body.
        response: Longest time from the complete body to the start of the response.
    """

    body_grace: float
    body_idle: float
    body: float
    response: float


class RequestLimits:
    """Limits the body of every request, and everything else for POSTs to `path` and the paths below it.

    The server discards what remains of a rejected body. Closing the connection instead would reset it, and many clients
    would report the reset rather than the response.
    """

    def __init__(
        self, app: ASGIApp, *, path: str, max_body_bytes: int, shedder: LoadShedder, time_limits: TimeLimits
    ) -> None:
        self._app = app
        self._path = path
        self._max_body_bytes = max_body_bytes
        self._shedder = shedder
        self._time_limits = time_limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, or reject the request: 413, 503."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = parse_content_length(dict(scope["headers"]).get(b"content-length")) or 0
        try:
            # Before the load shedder, so that a body over the limit is 413 even when the server is busy.
            self._check_body(declared)
            permit = self._shedder.acquire(declared) if self._is_detection(scope) else None
        except GatewayError as error:
            await response_to(error)(scope, receive, send)
            return
        received = 0

        async def bounded_receive() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                self._check_body(received)
            return message

        if permit is None:
            await self._app(scope, bounded_receive, send)
            return
        with permit:
            await _LimitedRequest(self._shedder, permit, self._time_limits, bounded_receive, send).run(self._app, scope)

    def _is_detection(self, scope: Scope) -> bool:
        path: str = scope["path"]
        return scope["method"] == "POST" and (path == self._path or path.startswith(self._path + "/"))

    def _check_body(self, size: int) -> None:
        if size > self._max_body_bytes:
            metrics.record_rejection("body_bytes")
            raise TooManyBytesError(
                f"The request body is larger than {self._max_body_bytes:,} bytes: send a smaller image, or its URL"
            )


class _LimitedRequest:
    """One detection request with a permit."""

    def __init__(
        self, shedder: LoadShedder, permit: Permit, time_limits: TimeLimits, receive: Receive, send: Send
    ) -> None:
        self._shedder = shedder
        self._permit = permit
        self._time_limits = time_limits
        self._client_receive = receive
        self._client_send = send
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        self._body_deadline = self._started_at + time_limits.body
        self._received = 0
        self._body_complete = False
        self._late_check: asyncio.TimerHandle | None = None
        self._response_deadline = asyncio.timeout(None)
        self._monitor: asyncio.Task[None] | None = None
        self._disconnected = False
        self._finished = asyncio.Event()  # the client has disconnected, or its response is sent

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        self._late_check = self._loop.call_later(self._time_limits.body_grace, self._release_late)
        try:
            async with self._response_deadline:
                await app(scope, self._receive, self._send)
        except TimeoutError:
            if not self._response_deadline.expired():
                raise
            if self._disconnected:
                self._shedder.reject("disconnect")
                return
            self._shedder.reject("deadline")
            limit = f"{self._time_limits.response:g} s"
            error = GatewayTimeoutError(f"The response was not ready within {limit}; try again")
            await response_to(error)(scope, self._client_receive, self._client_send)
        finally:
            self._late_check.cancel()
            if self._monitor is not None:
                self._monitor.cancel()

    async def _receive(self) -> Message:
        """The body in chunks; after it `http.disconnect`, once the request is finished."""
        if self._body_complete:
            await self._finished.wait()
            return {"type": "http.disconnect"}
        chunk = bytearray()
        while True:
            message = await self._next_message()
            if message["type"] != "http.request":
                return message
            body: bytes = message.get("body", b"")
            self._received += len(body)
            self._permit.reserve_at_least(self._received)
            if not message.get("more_body", False):
                self._on_body_complete()
            elif len(chunk) + len(body) < _CHUNK_BYTES:
                chunk += body
                continue
            if chunk:
                return {"type": "http.request", "body": bytes(chunk + body), "more_body": not self._body_complete}
            return message

    async def _next_message(self) -> Message:
        deadline = min(self._loop.time() + self._time_limits.body_idle, self._body_deadline)
        try:
            async with asyncio.timeout_at(deadline):
                return await self._client_receive()
        except TimeoutError:
            self._shedder.reject("body_timeout")
            idle = deadline < self._body_deadline
            limit = (
                f"paused for {self._time_limits.body_idle:g} s" if idle else f"took over {self._time_limits.body:g} s"
            )
            raise BodyTimeoutError(
                f"The request body {limit} and was not complete: {self._received:,} bytes arrived"
            ) from None

    def _release_late(self) -> None:
        """Release the slot of a slow upload; if it nearly stalls, release its reserved bytes too."""
        self._permit.release_slot()
        if self._received < _MIN_BYTES_PER_S * (self._loop.time() - self._started_at):
            self._permit.reserve(self._received)
        else:
            self._late_check = self._loop.call_later(_CHECK_INTERVAL_S, self._release_late)

    def _cancel_late_check(self) -> None:
        if self._late_check is not None:
            self._late_check.cancel()

    def _on_body_complete(self) -> None:
        self._cancel_late_check()
        self._body_complete = True
        self._permit.acquire_slot(late=True)
        self._permit.deadline = self._loop.time() + self._time_limits.response
        self._reschedule(self._permit.deadline)
        self._monitor = self._loop.create_task(self._monitor_client())

    async def _monitor_client(self) -> None:
        while (await self._client_receive())["type"] != "http.disconnect":
            pass
        if not self._finished.is_set():
            self._disconnected = True
            self._finished.set()
            self._reschedule(self._loop.time())

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            # The deadline is for the work. The connection limits how long the client may take to read the response.
            self._cancel_late_check()
            self._reschedule(None)
            self._permit.release_slot()
        elif message["type"] == "http.response.body":
            body = message.get("body", b"")
            self._permit.reserve_response(len(body))
            if not message.get("more_body", False):
                if len(body) > _CHUNK_BYTES:
                    # uvicorn accepts one message of any size at once, and the next one after the client has read the
                    # first. The empty second message keeps the bytes reserved until then.
                    await self._client_send({"type": "http.response.body", "body": body, "more_body": True})
                    message = {"type": "http.response.body", "body": b"", "more_body": False}
                self._finished.set()
        await self._client_send(message)

    def _reschedule(self, when: float | None) -> None:
        if not self._response_deadline.expired():
            self._response_deadline.reschedule(when)
