"""ASGI middleware that counts, logs and traces every request."""

import logging
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter

from opentelemetry.trace import Span, SpanKind, StatusCode
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.observability import metrics
from gateway.observability.logs import ACCESS
from gateway.observability.request_context import RequestContext, new_request
from gateway.observability.tracing import Tracing, remote_parent, span

_access = logging.getLogger(ACCESS)

_CLIENT_CLOSED_REQUEST = 499  # nginx's status for a client that disconnected before the response
_SERVER_ERROR = 500
_LAUNCHER = b"triton-sod-launcher"
_MAX_LOGGED_PATH = 200
# Probes and scrapes arrive every few seconds and would hide the other traces.
_UNTRACED = ("/health", "/metrics")


class Telemetry:
    """Outermost ASGI middleware: sets the context of every request, and records its metrics, access line and span."""

    def __init__(self, app: ASGIApp, *, tracing: Tracing, access_log: bool) -> None:
        self._app = app
        self._tracing = tracing
        self._access_log = access_log
        self._api_paths: frozenset[str] = frozenset()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def watched_receive() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect" and request.status is None:
                request.client_left = True
            return message

        async def watched_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
            else:
                request.response_bytes += len(message.get("body", b""))
            await send(message)

        with new_request() as request, self._span(scope, request) as server_span:
            metrics.in_flight.inc()
            try:
                await self._app(scope, watched_receive, watched_send)
            finally:
                metrics.in_flight.dec()
                self._record(scope, request, server_span)

    def _span(self, scope: Scope, request: RequestContext) -> AbstractContextManager[Span | None]:
        tracer = self._tracing.tracer
        if tracer is None or scope["path"].startswith(_UNTRACED):
            return nullcontext()
        request.tracer = tracer
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        return span(tracer, scope["method"], SpanKind.SERVER, remote_parent(headers))

    def _record(self, scope: Scope, request: RequestContext, server_span: Span | None) -> None:
        seconds = perf_counter() - request.started
        path = self._route_path(scope)
        code = _CLIENT_CLOSED_REQUEST if request.client_left else request.status or _SERVER_ERROR
        metrics.record_request(path, scope["method"], code, seconds, request.seconds)
        if server_span is not None:
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
        if self._access_log and not _is_probe(scope):
            _log_access(scope, request, code, seconds)

    def _route_path(self, scope: Scope) -> str:
        """The path of the route; a middleware may have responded before routing."""
        route = getattr(scope.get("route"), "path", None)
        if isinstance(route, str):
            return route
        if not self._api_paths:
            self._api_paths = frozenset(scope["app"].openapi()["paths"])
        return scope["path"] if scope["path"] in self._api_paths else metrics.OTHER


def _is_probe(scope: Scope) -> bool:
    """Whether the launcher asks, which it does every second or so."""
    return any(name == b"user-agent" and value == _LAUNCHER for name, value in scope["headers"])


def _log_access(scope: Scope, request: RequestContext, code: int, seconds: float) -> None:
    fields = {
        "client": scope["client"][0] if scope["client"] else "-",
        "method": scope["method"],
        "path": scope["path"][:_MAX_LOGGED_PATH],
        "status": code,
        "ms": round(1000 * seconds, 1),
        "bytes": request.response_bytes,
        "stages": {stage: round(1000 * spent, 1) for stage, spent in request.seconds.items()},
    }
    stages = "".join(f" {stage}={spent}" for stage, spent in fields["stages"].items())
    _access.info("%(client)s %(method)s %(path)s %(status)d %(ms).1f ms %(bytes)d bytes" + stages, fields, extra=fields)
