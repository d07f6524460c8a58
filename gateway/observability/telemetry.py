"""ASGI middleware that counts, logs and traces every request."""

import logging
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter

from opentelemetry.trace import Span, SpanKind, StatusCode
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.observability import metrics
from gateway.observability.logs import ACCESS
from gateway.observability.request_context import RequestContext, current_request
from gateway.observability.tracing import Tracing, remote_parent, span

_access = logging.getLogger(ACCESS)

_CLIENT_LEFT = 499
_SERVER_ERROR = 500
_LONGEST_PATH = 200
# ParsedRequest every few seconds; nobody wants to see these among the traces.
_UNTRACED = ("/health", "/metrics")


class Telemetry:
    """Metrics always, an access line and a span by setting. It goes right inside of `RequestContexts`."""

    def __init__(self, app: ASGIApp, *, tracing: Tracing, access_log: bool) -> None:
        self._app = app
        self._tracing = tracing
        self._access_log = access_log
        self._paths: frozenset[str] = frozenset()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application and watch."""
        request = current_request()
        if scope["type"] != "http" or request is None:
            await self._app(scope, receive, send)
            return
        seen = _Seen(receive, send)
        metrics.in_flight.inc()
        with self._span(scope, request) as server_span:
            try:
                await self._app(scope, seen.receive, seen.send)
            finally:
                metrics.in_flight.dec()
                seconds = perf_counter() - seen.started
                path = self._template(scope)
                metrics.request_done(path, scope["method"], seen.code, seconds, request.seconds)
                if server_span is not None:
                    _describe(server_span, scope, request, path, seen.code)
                if self._access_log:
                    _log_access(scope, request, seen, seconds)

    def _span(self, scope: Scope, request: RequestContext) -> AbstractContextManager[Span | None]:
        tracer = self._tracing.tracer
        if tracer is None or scope["path"].startswith(_UNTRACED):
            return nullcontext()
        request.tracer = tracer
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        return span(tracer, scope["method"], SpanKind.SERVER, remote_parent(headers))

    def _template(self, scope: Scope) -> str:
        """The route's path; a request may have been answered before it was routed."""
        route = getattr(scope.get("route"), "path", None)
        if isinstance(route, str):
            return route
        if not self._paths:
            self._paths = frozenset(scope["app"].openapi()["paths"])
        return scope["path"] if scope["path"] in self._paths else metrics.OTHER


class _Seen:
    """What passes between the server and the application."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self.started = perf_counter()
        self.bytes = 0
        self._receive = receive
        self._send = send
        self._status: int | None = None
        self._left = False

    @property
    def code(self) -> int:
        """The status sent, or what stands for none."""
        if self._left:
            return _CLIENT_LEFT
        return _SERVER_ERROR if self._status is None else self._status

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" and self._status is None:
            self._left = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
        else:
            self.bytes += len(message.get("body", b""))
        await self._send(message)


def _describe(server_span: Span, scope: Scope, request: RequestContext, path: str, code: int) -> None:
    server_span.update_name(f"{scope['method']} {path}")
    server_span.set_attributes(
        {
            "http.request.method": scope["method"],
            "http.route": path,
            "http.response.status_code": code,
            "url.scheme": scope["scheme"],
            "sod.log_id": request.log_id,
        }
    )
    if code >= _SERVER_ERROR:
        server_span.set_status(StatusCode.ERROR)


def _log_access(scope: Scope, request: RequestContext, seen: _Seen, seconds: float) -> None:
    fields = {
        "client": scope["client"][0] if scope["client"] else "-",
        "method": scope["method"],
        "path": scope["path"][:_LONGEST_PATH],
        "status": seen.code,
        "ms": round(1000 * seconds, 1),
        "bytes": seen.bytes,
        "stages": {stage: round(1000 * spent, 1) for stage, spent in request.seconds.items()},
    }
    stages = "".join(f" {stage}={spent}" for stage, spent in fields["stages"].items())
    _access.info("%(client)s %(method)s %(path)s %(status)d %(ms).1f ms %(bytes)d bytes" + stages, fields, extra=fields)
