"""The time of each stage from Triton's spans."""

import httpx
import pytest

from benchmarks.performance.loadgen.traces import collector, parse, stage_ms

MODEL = "S"


def span(trace, model, start_ms, end_ms, **events_ms):
    attributes = [{"key": "triton.model_name", "value": {"stringValue": model}}] if model else []
    return {
        "traceId": trace,
        "name": model or "InferRequest",
        "startTimeUnixNano": str(int(start_ms * 1e6)),
        "endTimeUnixNano": str(int(end_ms * 1e6)),
        "attributes": attributes,
        "events": [{"name": name, "timeUnixNano": str(int(at * 1e6))} for name, at in events_ms.items()],
    }


def document(*spans):
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}


def request(trace):
    return [
        # The span of a stage ends when the stage has handed its request to a thread.
        span(trace, "preprocess_640", 101, 102),
        span(trace, "S_detector", 109, 110),
        span(trace, "postprocess", 199, 200),
        span(trace, "", 101.1, 101.9),
        span(trace, MODEL, 100.5, 203),
        span(trace, "", 100, 204, INFER_RESPONSE_COMPLETE=202, GRPC_SEND_START=202.5, GRPC_SEND_END=204),
    ]


def test_a_stage_lasts_until_the_next_one_is_called():
    (stages,) = stage_ms(parse(document(*reversed(request("a")))), MODEL)
    assert list(stages) == ["preprocess_640", "S_detector", "postprocess", "receive and send"]
    assert list(stages.values()) == pytest.approx([8, 90, 3, 3])


def test_requests_are_told_apart_and_incomplete_ones_left_out():
    spans = parse(document(*request("a"), *request("b")[:-1], *request("c")[1:]))
    assert len(stage_ms(spans, MODEL)) == 1
    assert stage_ms([], MODEL) == []


def test_spans_are_received_over_http():
    with collector() as received:
        assert httpx.post(f"{received.url}/v1/traces", json=document(*request("a"))).status_code == 200
        received.wait_for(MODEL, 1)
        httpx.post(f"{received.url}/v1/traces", content=b"\x0a", headers={"content-type": "application/x-protobuf"})
        assert len(received.spans) == 6
