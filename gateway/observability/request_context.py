"""The context of the current request: its log id, how long each stage took, and what has been sent.

`Telemetry` sets it for every request. Outside of a request (the readiness check) `stage` measures nothing. In a traced
request every stage is a span.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter
from typing import Literal
from uuid import uuid4

from opentelemetry.trace import Tracer

from gateway.observability.tracing import span

# In the order of a request; `decode` is for the overlay and for slices, `merge` for those.
Stage = Literal["body", "parse", "fetch", "queue", "decode", "infer", "merge", "draw", "encode"]


@dataclass(slots=True)
class RequestContext:
    """One request and its response.

    Attributes:
        log_id: The client's, once its body has been read; a new UUID until then.
        seconds: Duration of each stage; the images of a batch add up.
        tracer: Makes the spans of its stages; None if it is not traced.
        started: Time of arrival by `perf_counter`.
        status: HTTP status of the response; None before it starts.
        response_bytes: Bytes of the response body so far.
        client_left: Whether the client disconnected before the response started.
    """

    log_id: str = field(default_factory=lambda: str(uuid4()))
    seconds: dict[Stage, float] = field(default_factory=dict)
    tracer: Tracer | None = None
    started: float = field(default_factory=perf_counter)
    status: int | None = None
    response_bytes: int = 0
    client_left: bool = False


_current: ContextVar[RequestContext | None] = ContextVar("request_context", default=None)


@contextmanager
def new_request() -> Iterator[RequestContext]:
    """Enter the context of a new request."""
    request = RequestContext()
    token = _current.set(request)
    try:
        yield request
    finally:
        _current.reset(token)


def current_request() -> RequestContext | None:
    """The request of this task, or of the task that started it."""
    return _current.get()


def current_log_id() -> str:
    """The log id of the current request; a fresh one outside of any."""
    request = _current.get()
    return str(uuid4()) if request is None else request.log_id


def log_id_text(log_id: object) -> object:
    """An integer of at most 64 bits as its digits; everything else unchanged."""
    is_number = isinstance(log_id, int) and not isinstance(log_id, bool) and abs(log_id) < 1 << 64
    return str(log_id) if is_number else log_id


def adopt_log_id(document: object) -> None:
    """Take over the log id of a parsed body, so that every later response and log line carries it.

    It must be a string that is not empty, or an integer.
    """
    request = _current.get()
    log_id = log_id_text(document.get("logId")) if isinstance(document, dict) else None
    if request is not None and isinstance(log_id, str) and log_id:
        # JSON can spell lone surrogates, UTF-8 cannot.
        request.log_id = log_id.encode("utf-8", "replace").decode("utf-8")


def response_started() -> bool:
    """Whether the response to the current request has started, so that its status cannot change any more."""
    request = _current.get()
    return request is not None and request.status is not None


@contextmanager
def stage(name: Stage) -> Iterator[None]:
    """Measure a stage of the current request."""
    request = _current.get()
    started = perf_counter()
    try:
        with nullcontext() if request is None or request.tracer is None else span(request.tracer, name):
            yield
    finally:
        if request is not None:
            request.seconds[name] = request.seconds.get(name, 0.0) + perf_counter() - started
