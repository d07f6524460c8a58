"""OpenTelemetry: spans of the gateway, sent to an OTLP/HTTP receiver; without one, nothing is made."""

import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic
from types import TracebackType
from typing import Self

import httpx
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.environment_variables import OTEL_EXPORTER_OTLP_HEADERS
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.re import parse_env_headers

_log = logging.getLogger(__name__)

SERVICE = "triton-sod-gateway"
_EXPORT_TIMEOUT_S = 5.0
_CLOSE_TIMEOUT_S = 2.0
_propagator = TraceContextTextMapPropagator()


class Tracing:
    """The tracer of one application.

    The sender is a thread of its own: a receiver that is away costs its spans, and one line in the log.
    """

    def __init__(self, endpoint: str | None, *, ratio: float, version: str) -> None:
        """Set up; nothing runs before it is entered.

        Args:
            endpoint: Base URL of an OTLP/HTTP receiver; None for no traces.
            ratio: Share of the traces that begin here which are recorded; others follow their parent.
            version: Of the service.
        """
        self._endpoint = endpoint
        self._ratio = ratio
        self._version = version
        self._provider: TracerProvider | None = None
        self._exporter: _Exporter | None = None
        self.tracer: Tracer | None = None

    async def __aenter__(self) -> Self:
        if self._endpoint is not None:
            self._exporter = _Exporter(f"{self._endpoint.rstrip('/')}/v1/traces")
            resource = Resource.create({"service.name": SERVICE, "service.version": self._version})
            sampler = ParentBased(TraceIdRatioBased(self._ratio))
            self._provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
            self._provider.add_span_processor(BatchSpanProcessor(self._exporter, schedule_delay_millis=1000))
            self.tracer = self._provider.get_tracer("gateway", self._version)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._provider is None or self._exporter is None:
            return
        self.tracer = None
        self._exporter.end_within(_CLOSE_TIMEOUT_S)
        # A daemon: an export that hangs must not hold the process.
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_CLOSE_TIMEOUT_S)


class _Exporter(SpanExporter):
    """Sends spans as protobuf over HTTP: one try a batch, and a word only when it begins or ceases to fail."""

    def __init__(self, url: str) -> None:
        headers = dict(parse_env_headers(os.environ.get(OTEL_EXPORTER_OTLP_HEADERS, ""), liberal=True))
        headers["Content-Type"] = "application/x-protobuf"
        self._client = httpx.Client(headers=headers, trust_env=False)
        self._url = url
        self._fails = False
        self._until = float("inf")

    def end_within(self, seconds: float) -> None:
        """All that is still to be sent has so long."""
        self._until = monotonic() + seconds

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch, or drop it."""
        left = min(_EXPORT_TIMEOUT_S, self._until - monotonic())
        if left <= 0:
            return SpanExportResult.FAILURE
        try:
            answer = self._client.post(self._url, content=encode_spans(spans).SerializeToString(), timeout=left)
            problem = None if answer.is_success else f"it answered {answer.status_code}"
        except (httpx.HTTPError, OSError) as error:
            problem = str(error) or type(error).__name__
        if problem is not None and not self._fails:
            _log.warning("traces are dropped until the receiver takes them: %s", problem)
        elif problem is None and self._fails:
            _log.info("the receiver takes traces again")
        self._fails = problem is not None
        return SpanExportResult.FAILURE if self._fails else SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close the connection."""
        self._client.close()


@contextmanager
def span(
    tracer: Tracer,
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    parent: Context | None = None,
) -> Iterator[Span]:
    """Make a span the current one. Of an exception it keeps the type only: messages may hold what clients sent."""
    with tracer.start_as_current_span(
        name, context=parent, kind=kind, record_exception=False, set_status_on_exception=False
    ) as made:
        try:
            yield made
        except BaseException as error:
            made.set_status(StatusCode.ERROR)
            made.set_attribute("error.type", type(error).__name__)
            raise


def remote_parent(headers: Mapping[str, str]) -> Context:
    """The context that a caller's `traceparent` and `tracestate` describe; an empty one if they do not."""
    return _propagator.extract(headers, Context())


def trace_metadata() -> tuple[tuple[str, str], ...] | None:
    """Metadata for gRPC: `traceparent`, for a call within the current span; None where nothing is recorded."""
    if not get_current_span().get_span_context().trace_flags.sampled:
        return None
    headers: dict[str, str] = {}
    _propagator.inject(headers)
    return tuple(headers.items())


def current_trace_id() -> str | None:
    """Hexadecimal id of the current trace; None outside of one."""
    context = get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None
