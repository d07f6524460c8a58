"""What is known of the request being answered: its log id, and how long each stage of it took.

Set by the outermost middleware, read by logs, errors, metrics and `Server-Timing`. The data plane calls `stage` and
need not know who listens; outside of a request (the readiness check) it measures nothing. Where the request is traced,
a stage is a span.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter
from typing import Literal
from uuid import uuid4

from opentelemetry.trace import Tracer
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.observability.tracing import span

# In the order of a request; `decode` is for the overlay.
Stage = Literal["body", "parse", "fetch", "queue", "decode", "infer", "draw", "encode"]


@dataclass(slots=True)
class RequestContext:
    """One request.

    Attributes:
        log_id: The client's, once its body has been read; a fresh UUID until then.
        seconds: How long each stage took; the images of a batch add up.
        tracer: Makes the spans of its stages; None if it is not traced.
        started: When it came, by `perf_counter`.
    """

    log_id: str = field(default_factory=lambda: str(uuid4()))
    seconds: dict[Stage, float] = field(default_factory=dict)
    tracer: Tracer | None = None
    started: float = field(default_factory=perf_counter)


_current: ContextVar[RequestContext | None] = ContextVar("request_scope", default=None)


def current_request() -> RequestContext | None:
    """The request that this task, or the one that started it, answers."""
    return _current.get()


def current_log_id() -> str:
    """The log id of the current request; a fresh one outside of any."""
    request = _current.get()
    return str(uuid4()) if request is None else request.log_id


def adopt_log_id(document: object) -> None:
    """Take over the log id of a parsed body, so that every later response and log line carries it.

    As in PaddleX it must be a string that is not empty.
    """
    request = _current.get()
    log_id = document.get("logId") if isinstance(document, dict) else None
    if request is not None and isinstance(log_id, str) and log_id:
        # JSON can spell lone surrogates, UTF-8 cannot.
        request.log_id = log_id.encode("utf-8", "replace").decode("utf-8")


@contextmanager
def stage(name: Stage) -> Iterator[None]:
    """Measure a stage of the current request."""
    scope = _current.get()
    started = perf_counter()
    try:
        with nullcontext() if scope is None or scope.tracer is None else span(scope.tracer, name):
            yield
    finally:
        if scope is not None:
            scope.seconds[name] = scope.seconds.get(name, 0.0) + perf_counter() - started


class RequestContexts:
    """Outermost ASGI middleware: gives every request its scope."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        token = _current.set(RequestContext())
        try:
            await self._app(scope, receive, send)
        finally:
            _current.reset(token)
