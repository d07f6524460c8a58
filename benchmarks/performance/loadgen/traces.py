"""The time that a request spends in each stage of the ensemble, from Triton's traces.

Triton's statistics do not show it: our Python models hand a request to a thread and return, so `compute infer` ends
when the work begins. A trace contains the moment at which the ensemble calls each stage; a stage lasts until the next
call.
"""

import json
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic, sleep
from typing import Any

from tritonclient.grpc import InferenceServerClient, InferInput

from benchmarks.performance.loadgen.clients import EnsembleClient, infer
from benchmarks.performance.loadgen.closed_loop import SendRequest

_ARRIVAL_S = 20.0  # Triton exports its spans every five seconds
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Span:
    """One span of a trace; times are nanoseconds since the epoch.

    Attributes:
        trace: id of the trace.
        model: name of the ensemble or of a stage; empty for other spans.
        events: time by name of the event.
        start: when the span begins.
        end: when the span ends.
    """

    trace: str
    model: str
    events: dict[str, int]
    start: int
    end: int


@dataclass(slots=True)
class Collector:
    """Receives the spans that Triton exports.

    Attributes:
        url: value for `SOD_OTLP_ENDPOINT`.
        spans: received so far.
    """

    url: str
    spans: list[Span] = field(default_factory=list)

    def wait_for(self, model: str, count: int) -> None:
        """Wait until the spans of `count` requests to an ensemble have arrived, for at most 20 s."""
        until = monotonic() + _ARRIVAL_S
        while sum(span.model == model for span in list(self.spans)) < count and monotonic() < until:
            sleep(_POLL_S)


@contextmanager
def collector() -> Iterator[Collector]:
    """Receive OTLP over HTTP, in JSON, on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if "json" in self.headers["Content-Type"]:
                received.spans += parse(json.loads(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        received = Collector(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield received
        finally:
            server.shutdown()
            thread.join()


def parse(document: dict[str, Any]) -> list[Span]:
    """The spans of an OTLP document in JSON."""
    spans = []
    for resource in document.get("resourceSpans", ()):
        for scope in resource.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                attributes = {one["key"]: one["value"] for one in span.get("attributes", ())}
                spans.append(
                    Span(
                        span["traceId"],
                        str(attributes.get("triton.model_name", {}).get("stringValue", "")),
                        {event["name"]: int(event["timeUnixNano"]) for event in span.get("events", ())},
                        int(span["startTimeUnixNano"]),
                        int(span["endTimeUnixNano"]),
                    )
                )
    return spans


def stage_ms(spans: Sequence[Span], ensemble: str) -> list[dict[str, float]]:
    """The time of each stage in milliseconds, one dict a request, its stages in order.

    "receive and send" is the time of Triton's gRPC server before and after the ensemble. Requests with missing spans
    are left out.
    """
    traces: dict[str, list[Span]] = {}
    for span in spans:
        traces.setdefault(span.trace, []).append(span)
    requests = []
    for own in traces.values():
        whole = next((span for span in own if span.model == ensemble), None)
        outer = next((span for span in own if "GRPC_SEND_END" in span.events), None)
        stages = sorted((span for span in own if span.model not in ("", ensemble)), key=lambda span: span.start)
        if whole is None or outer is None or not stages:
            continue
        starts = [stage.start for stage in stages]
        done = outer.events.get("INFER_RESPONSE_COMPLETE", whole.end)
        ends = [*starts[1:], done]
        request = {stage.model: (end - stage.start) / 1e6 for stage, end in zip(stages, ends, strict=True)}
        request["receive and send"] = (starts[0] - outer.start + outer.events["GRPC_SEND_END"] - done) / 1e6
        requests.append(request)
    most = max((len(request) for request in requests), default=0)
    return [request for request in requests if len(request) == most]


@dataclass(frozen=True, slots=True)
class TracedEnsembleClient:
    """Sends each request with a `traceparent` header, so that Triton traces it.

    Attributes:
        ensemble: the client without the header.
        name: in the results.
    """

    ensemble: EnsembleClient
    name: str = "ensemble, traced"

    @contextmanager
    def session(self) -> Iterator[SendRequest]:
        """See `closed_loop.Client.session`."""
        inputs = self.ensemble.inputs()
        with InferenceServerClient(self.ensemble.address) as client:
            yield partial(_infer_traced, client, self.ensemble.model, inputs)


def _infer_traced(client: InferenceServerClient, model: str, inputs: list[InferInput]) -> None:
    infer(client, model, inputs, {"traceparent": f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"})
