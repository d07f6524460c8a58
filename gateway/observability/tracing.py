"""OpenTelemetry spans, exported to an OTLP/HTTP receiver; without a receiver no spans are made."""

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
_propagator = TraceContextTextMapPropagator()


class Tracing:
    """The tracer of one application.

    A separate thread exports the spans. While the receiver is unavailable they are dropped, with one log line.
    """

    def __init__(
        self,
        endpoint: str | None,
        *,
        ratio: float,
        version: str,
        export_timeout_s: float = 5.0,
        close_timeout_s: float = 2.0,
    ) -> None:
        """Configure; the exporter starts when the context is entered.

        Args:
            endpoint: Base URL of an OTLP/HTTP receiver; None disables tracing.
            ratio: Share of traces without a remote parent that are recorded; the others follow their parent.
            version: Version of the service.
            export_timeout_s: Time for one export.
            close_timeout_s: Time to export the remaining spans at the end.
        """
        self._endpoint = endpoint
        self._ratio = ratio
        self._version = version
        self._export_timeout_s = export_timeout_s
        self._close_timeout_s = close_timeout_s
        self._provider: TracerProvider | None = None
        self._exporter: _Exporter | None = None
        self.tracer: Tracer | None = None

    async def __aenter__(self) -> Self:
        if self._endpoint is not None:
            self._exporter = _Exporter(f"{self._endpoint.rstrip('/')}/v1/traces", self._export_timeout_s)
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
        self._exporter.finish_within(self._close_timeout_s)
        # A daemon thread, because a hanging export must not delay the end of the process.
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(self._close_timeout_s)


class _Exporter(SpanExporter):
    """Sends spans as protobuf over HTTP. One attempt per batch; log only state changes."""

    def __init__(self, url: str, timeout_s: float) -> None:
        headers = dict(parse_env_headers(os.environ.get(OTEL_EXPORTER_OTLP_HEADERS, ""), liberal=True))
        headers["Content-Type"] = "application/x-protobuf"
        self._client = httpx.Client(headers=headers, trust_env=False)
        self._url = url
        self._timeout_s = timeout_s
        self._failing = False
        self._deadline = float("inf")

    def finish_within(self, seconds: float) -> None:
        """Limit the time for all remaining exports together."""
        self._deadline = monotonic() + seconds

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch, or drop it."""
        timeout = min(self._timeout_s, self._deadline - monotonic())
        if timeout <= 0:
            return SpanExportResult.FAILURE
        try:
            response = self._client.post(self._url, content=encode_spans(spans).SerializeToString(), timeout=timeout)
            problem = None if response.is_success else f"status {response.status_code}"
        except (httpx.HTTPError, OSError) as error:
            problem = str(error) or type(error).__name__
        if problem is not None and not self._failing:
            _log.warning("traces are dropped until the receiver accepts them: %s", problem)
        elif problem is None and self._failing:
            _log.info("the receiver accepts traces again")
        self._failing = problem is not None
        return SpanExportResult.FAILURE if self._failing else SpanExportResult.SUCCESS

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
    """Start a span as the current one. It records only the type of an exception: texts may contain clients' data."""
    with tracer.start_as_current_span(
        name, context=parent, kind=kind, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except BaseException as error:
            current.set_status(StatusCode.ERROR)
            current.set_attribute("error.type", type(error).__name__)
            raise


def remote_parent(headers: Mapping[str, str]) -> Context:
    """The context of a caller's `traceparent` and `tracestate`; empty if they are absent or malformed."""
    return _propagator.extract(headers, Context())


def trace_metadata() -> tuple[tuple[str, str], ...] | None:
    """Metadata for gRPC with the `traceparent` of the current span; None if it is not recorded."""
    if not get_current_span().get_span_context().trace_flags.sampled:
        return None
    headers: dict[str, str] = {}
    _propagator.inject(headers)
    return tuple(headers.items())


def current_trace_id() -> str | None:
    """Hexadecimal id of the current trace; None outside of a trace."""
    context = get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None
