"""ASGI middleware in front of the detection paths: who is let in, how slow a body may be, how late an answer.

Once a body is complete its client is watched: one that leaves, or an answer that is late, cancels the work, the call
of Triton included.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.error_responses import response_to
from gateway.errors import BodyTimeoutError, GatewayError, GatewayTimeoutError
from gateway.limits.load_shedder import LoadShedder, Permit

# A late body is looked at so often; one that is slower than this keeps no bytes from others but those that have come.
# It is far below what any client can send: a server that is short of time reads slowly too, and refusing half a body
# then is what it can afford least.
_LOOK_S = 1.0
_SLOW_BYTES_S = 1024
# A body that comes byte by byte is handed on in pieces of this size, not in millions of one byte.
_PIECE = 64 * 1024
_DIGITS = 18  # a length of more is over any limit, and Python refuses to convert thousands of digits


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Seconds.

    Attributes:
        body_grace: A body may take so long before its request gives its place back, until it is complete.
        body_idle: Longest time without a byte of the body.
        body: Longest time for the whole body.
        answer: Longest time from a complete body to the beginning of the answer.
    """

    body_grace: float
    body_idle: float
    body: float
    answer: float


class RequestLimits:
    """Bounds what POSTs to `path`, and everything below it, do to the server; other requests pass untouched."""

    def __init__(self, app: ASGIApp, *, path: str, shedder: LoadShedder, limits: TimeLimits) -> None:
        self._app = app
        self._path = path
        self._shedder = shedder
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application if the request is let in."""
        if scope["type"] != "http" or scope["method"] != "POST" or not self._guards(scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            entered = self._shedder.enter(_announced(scope))
        except GatewayError as error:
            # The body is left to the server, which discards it.
            await response_to(error)(scope, receive, send)
            return
        with entered:
            await _Visit(self._shedder, entered, self._limits, receive, send).run(self._app, scope)

    def _guards(self, path: str) -> bool:
        return path == self._path or path.startswith(self._path + "/")


class _Visit:
    """One request inside."""

    def __init__(self, shedder: LoadShedder, entered: Permit, limits: TimeLimits, receive: Receive, send: Send) -> None:
        self._shedder = shedder
        self._pass = entered
        self._limits = limits
        self._client_receive = receive
        self._client_send = send
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._body_until = self._began + limits.body
        self._received = 0
        self._complete = False  # the body
        self._late: asyncio.TimerHandle | None = None
        self._deadline = asyncio.timeout(None)
        self._watcher: asyncio.Task[None] | None = None
        self._left = False
        self._over = asyncio.Event()  # the client has left, or has its answer
        self._answering = False

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        self._late = self._loop.call_later(self._limits.body_grace, self._step_aside)
        try:
            async with self._deadline:
                await app(scope, self._receive, self._send)
        except TimeoutError:
            if not self._deadline.expired():
                raise
            if self._left:
                self._shedder.reject("disconnect")
                return
            self._shedder.reject("deadline")
            error = GatewayTimeoutError(f"The answer was not ready within {self._limits.answer:g} s; try again")
            await response_to(error)(scope, self._client_receive, self._client_send)
        except GatewayError as error:
            if self._answering:
                raise
            await response_to(error)(scope, self._client_receive, self._client_send)
        finally:
            self._late.cancel()
            if self._watcher is not None:
                self._watcher.cancel()

    async def _receive(self) -> Message:
        """The body in pieces; after it, once there is nobody to answer to, the disconnect."""
        if self._complete:
            await self._over.wait()
            return {"type": "http.disconnect"}
        piece = bytearray()
        while True:
            message = await self._next_message()
            if message["type"] != "http.request":
                return message
            body: bytes = message.get("body", b"")
            self._received += len(body)
            self._pass.grow_to(self._received)
            if not message.get("more_body", False):
                self._note_complete()
            elif len(piece) + len(body) < _PIECE:
                piece += body
                continue
            if piece:
                return {"type": "http.request", "body": bytes(piece + body), "more_body": not self._complete}
            return message

    async def _next_message(self) -> Message:
        until = min(self._loop.time() + self._limits.body_idle, self._body_until)
        try:
            async with asyncio.timeout_at(until):
                return await self._client_receive()
        except TimeoutError:
            self._shedder.reject("body_timeout")
            idle = until < self._body_until
            limit = f"paused for {self._limits.body_idle:g} s" if idle else f"took over {self._limits.body:g} s"
            raise BodyTimeoutError(
                f"The request body {limit} and was not complete: {self._received:,} bytes came"
            ) from None

    def _step_aside(self) -> None:
        """The body is late: it keeps its place from nobody, nor its bytes if it hardly moves."""
        if self._complete or self._answering:
            return
        self._pass.give_place_back()
        if self._received < _SLOW_BYTES_S * (self._loop.time() - self._began):
            self._pass.hold(self._received)
        else:
            self._late = self._loop.call_later(_LOOK_S, self._step_aside)

    def _note_complete(self) -> None:
        self._complete = True
        self._pass.take_place(late=True)
        self._reschedule(self._loop.time() + self._limits.answer)
        self._watcher = self._loop.create_task(self._watch_client())

    async def _watch_client(self) -> None:
        while (await self._client_receive())["type"] != "http.disconnect":
            pass
        if not self._over.is_set():
            self._left = True
            self._over.set()
            self._reschedule(self._loop.time())

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            # Late answers are the work's; how long a client may take to read its answer is the connection's concern.
            self._answering = True
            self._reschedule(None)
            self._pass.give_place_back()
        elif message["type"] == "http.response.body":
            body = message.get("body", b"")
            self._pass.charge_answer(len(body))
            if not message.get("more_body", False):
                if len(body) > _PIECE:
                    # The server takes one message of any size without waiting; for the second it waits until the
                    # client has taken the first. So long the answer is counted.
                    await self._client_send({"type": "http.response.body", "body": body, "more_body": True})
                    message = {"type": "http.response.body", "body": b"", "more_body": False}
                self._over.set()
        await self._client_send(message)

    def _reschedule(self, when: float | None) -> None:
        if not self._deadline.expired():
            self._deadline.reschedule(when)


def _announced(scope: Scope) -> int:
    headers: Mapping[bytes, bytes] = dict(scope["headers"])
    length = headers.get(b"content-length", b"")
    if not length.isdigit():
        return 0
    return int(length[:_DIGITS])
