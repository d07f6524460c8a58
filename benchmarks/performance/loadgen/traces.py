"""Where a request's time goes inside Triton, by Triton's own traces.

Its statistics do not tell: our Python models hand a request to a thread and return, so that `compute infer` ends when
the work begins. A trace has the moment at which the ensemble calls each stage, and from one to the next is that stage.
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
from tritonclient.utils import InferenceServerException

from benchmarks.performance.loadgen.clients import Ensemble
from benchmarks.performance.loadgen.closed_loop import Ask, AskError

_TIMEOUT_S = 300.0
# Triton sends what it has every five seconds.
_ARRIVAL_S = 20.0


@dataclass(frozen=True, slots=True)
class Span:
    """One span of Triton's; times in nanoseconds.

    Attributes:
        trace: its id.
        model: empty but for the ensemble and its stages.
        events: times by name.
        start: of it.
        end: of it.
    """

    trace: str
    model: str
    events: dict[str, int]
    start: int
    end: int


@dataclass(slots=True)
class Collector:
    """Takes Triton's spans.

    Attributes:
        url: for `SOD_OTLP_ENDPOINT`.
        spans: so far.
    """

    url: str
    spans: list[Span] = field(default_factory=list)

    def wait_for(self, model: str, count: int) -> None:
        """Until so many requests to an ensemble have come in, or for 20 s."""
        until = monotonic() + _ARRIVAL_S
        while sum(span.model == model for span in list(self.spans)) < count and monotonic() < until:
            sleep(0.1)


@contextmanager
def collector() -> Iterator[Collector]:
    """A receiver of OTLP over HTTP on a free port."""

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
    """Milliseconds by stage, in order, a dict a request; "receive and send" is Triton's gRPC around the ensemble.

    Requests of which a span has not come are left out.
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
class Traced:
    """The ensemble over gRPC, each request with a `traceparent`, so that Triton traces it.

    Attributes:
        ensemble: the same without.
        name: for the results.
    """

    ensemble: Ensemble
    name: str = "ensemble, traced"

    @contextmanager
    def session(self) -> Iterator[Ask]:
        """As `Client.session`."""
        inputs = self.ensemble.inputs()
        with InferenceServerClient(self.ensemble.address) as client:
            yield partial(_infer, client, self.ensemble.model, inputs)


def _infer(client: InferenceServerClient, model: str, inputs: list[InferInput]) -> None:
    parent = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
    try:
        client.infer(model, inputs, headers={"traceparent": parent}, client_timeout=_TIMEOUT_S)
    except InferenceServerException as error:
        raise AskError(str(error)) from None
