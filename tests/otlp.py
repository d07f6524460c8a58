"""A receiver of traces: OTLP over HTTP, protobuf as the gateway sends it and JSON as Triton does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Span:
    """One span, ids in hexadecimal; `parent` is empty for a root."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    kind: Any
    attributes: dict[str, Any]


@dataclass
class Receiver:
    """What came in; `status` is what it answers."""

    url: str
    spans: list[Span] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    status: int = 200
    refused: set[str] = field(default_factory=set)  # user agents that got another status than 200
    hold: threading.Event | None = None
    asked: threading.Event = field(default_factory=threading.Event)

    def of(self, service: str) -> list[Span]:
        return [span for span in self.spans if span.service == service]


@contextmanager
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.asked.set()
            if received.hold is not None:
                received.hold.wait()
            received.headers.append({name.lower(): value for name, value in self.headers.items()})
            if received.status != 200:
                received.refused.add(self.headers["User-Agent"])
            elif self.path == "/v1/traces":
                received.spans += _read(body, self.headers["Content-Type"])
            self.send_response(received.status if self.path == "/v1/traces" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        received = Receiver(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield received
        finally:
            if received.hold is not None:
                received.hold.set()
            server.shutdown()
            thread.join()


def _read(body: bytes, content_type: str) -> Iterator[Span]:
    if content_type == "application/json":  # ids are in hexadecimal
        document = json.loads(body)
    else:
        assert content_type == "application/x-protobuf"
        message = ExportTraceServiceRequest.FromString(body)
        document = MessageToDict(message)
        spans = [s for r in message.resource_spans for scope in r.scope_spans for s in scope.spans]
        shown = [s for r in document["resourceSpans"] for scope in r["scopeSpans"] for s in scope["spans"]]
        for one, raw in zip(shown, spans, strict=True):
            one |= {
                "traceId": raw.trace_id.hex(),
                "spanId": raw.span_id.hex(),
                "parentSpanId": raw.parent_span_id.hex(),
            }
    for resource in document["resourceSpans"]:
        service = _attributes(resource["resource"])["service.name"]
        for scope in resource["scopeSpans"]:
            for one in scope["spans"]:
                ids = one["traceId"], one["spanId"], one.get("parentSpanId", "")
                yield Span(service, one["name"], *ids, one.get("kind"), _attributes(one))


def _attributes(holder: dict[str, Any]) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in holder.get("attributes", ())}
