"""Metrics, traces and draining of the whole server."""

import signal
import time
from uuid import uuid4

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import DEMO
from tests.e2e.started_server import REPOSITORY, command_line, serve
from tests.otlp import receiver

PARENT = "b7ad6b7169203331"
GATEWAY = "triton-sod-gateway"
PATH = "/small-object-detection"


@pytest.fixture(scope="module")
def otlp():
    with receiver() as received:
        yield received


@pytest.fixture(scope="module")
def traced(otlp, tmp_path_factory, free_ports):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOD_OTLP_ENDPOINT", otlp.url)
        log = tmp_path_factory.mktemp("traced") / "serve.log"
        with serve(REPOSITORY, log, free_ports(4), "--model", DEMO) as serving:
            yield serving


def test_metrics_of_the_gateway_and_of_triton(traced, image):
    assert traced.post(image, threshold=0.01).status_code == 200
    answer = traced.http.get("/metrics")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert len(families) == answer.text.count("# TYPE ")
    (up,) = families["sod_triton_metrics_up"].samples
    assert up.value == 1
    counted = {s.labels["model"]: s.value for s in families["nv_inference_request_success"].samples}
    assert counted[DEMO] >= 1
    assert counted["postprocess"] >= 1
    (ready,) = families["sod_ready"].samples
    assert ready.value == 1
    found = [s for s in families["sod_detections"].samples if s.labels["model"] == DEMO]
    assert sum(sample.value for sample in found) > 0


def test_one_trace_from_http_to_tritons_stages(traced, otlp, image):
    # The inference of an earlier readiness check must leave no trace.
    otlp.spans.clear()
    traces = [uuid4().hex for _ in range(12)]  # Triton ignores about one context in ten: docs/gateway.md
    for trace in traces:
        traced.http.headers["traceparent"] = f"00-{trace}-{PARENT}-01"
        assert traced.post(image, visualize=False).status_code == 200  # with an overlay the first stage is not needed
    del traced.http.headers["traceparent"]

    stages = "preprocess_640", f"{DEMO}_detector", "postprocess"

    def spans(service, trace):
        return {span.name: span for span in otlp.of(service) if span.trace == trace}

    def of_triton():
        return [trace for trace in traces if {"InferRequest", DEMO, *stages} <= spans("triton", trace).keys()]

    for trace in traces:
        traced.wait_for(lambda of=trace: {f"POST {PATH}", "infer"} <= spans(GATEWAY, of).keys(), "the gateway's spans")
    traced.wait_for(lambda: len(of_triton()) >= 2, "Triton's spans")
    gateways, tritons = spans(GATEWAY, of_triton()[0]), spans("triton", of_triton()[0])
    assert gateways[f"POST {PATH}"].parent == PARENT
    assert gateways["infer"].parent == gateways[f"POST {PATH}"].id
    assert tritons["InferRequest"].parent == gateways["infer"].id
    assert tritons[DEMO].parent == tritons["InferRequest"].id
    for stage in stages:
        assert tritons[stage].parent == tritons[DEMO].id
    # Inferences without a trace context, such as those of readiness checks, are not traced.
    assert not [span for span in otlp.of("triton") if span.name == "InferRequest" and not span.parent]


def test_an_unavailable_receiver_is_logged_once(traced, otlp, image):
    otlp.status = 503
    otlp.refused.clear()
    traced.wait_for(
        lambda: traced.post(image).status_code == 200 and len(otlp.refused) == 2, f"both to try: {otlp.refused}"
    )
    assert traced.stop() == 0
    log = traced.log.read_text()
    assert log.count("traces are dropped until the receiver accepts them") == 1
    assert "OTLP HTTP Client" not in log


def test_a_drain_and_a_second_signal(tmp_path, free_ports, image, monkeypatch):
    monkeypatch.setenv("SOD_DRAIN_DELAY", "3600")
    with serve(REPOSITORY, tmp_path / "serve.log", free_ports(4), "--model", DEMO) as serving:
        processes = serving.children()
        serving.process.send_signal(signal.SIGTERM)
        serving.wait_for(lambda: serving.http.get("/health/ready").status_code == 503, "the end of readiness")
        assert serving.http.get("/health/ready").json()["errorMsg"] == "The server is shutting down"
        answer = serving.post(image)
        assert answer.status_code == 200
        assert answer.headers["connection"] == "close"
        until = time.monotonic() + 60
        while serving.process.poll() is None and time.monotonic() < until:
            serving.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
        assert serving.process.wait(30) == 0
        assert serving.shared_memory() == []
        _, alive = psutil.wait_procs(processes, timeout=10)
        assert alive == []


def test_several_workers_under_the_launcher(tmp_path, free_ports, image, monkeypatch):
    monkeypatch.setenv("SOD_WORKERS", "2")
    with serve(REPOSITORY, tmp_path / "serve.log", free_ports(4), "--model", DEMO) as serving:
        processes = serving.children()
        assert sum("spawn_main" in command_line(process) for process in processes) == 2
        for _ in range(4):
            with httpx.Client(base_url=serving.url, timeout=60) as client:
                serving.http, old = client, serving.http
                assert serving.post(image).status_code == 200
                serving.http = old
        assert "nv_inference_count" in serving.http.get("/metrics").text
        assert serving.stop() == 0
        _, alive = psutil.wait_procs(processes, timeout=10)
        assert alive == []


@pytest.mark.parametrize("name", ["SOD_DRAIN_DELAY", "SOD_SHUTDOWN_TIMEOUT"])
def test_a_time_that_is_none_is_refused(name, capfd, monkeypatch):
    from server import cli

    for wrong in ("soon", "-1", "inf", "nan"):
        monkeypatch.setenv(name, wrong)
        assert cli.main([]) == 1
        assert f"{name} is {wrong!r}: it takes a number of seconds" in capfd.readouterr().err
