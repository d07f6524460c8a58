"""More load than the server can handle, and clients that disconnect."""

import base64
import json
import socket
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import pytest
from tritonclient.grpc import InferenceServerClient

from tests.e2e.conftest import DEMO
from tests.e2e.started_server import REPOSITORY, serve

PATH = "/small-object-detection"


def executions(triton, model: str) -> int:
    """The number of requests that Triton has executed for a model."""
    (statistics,) = triton.get_inference_statistics(model).model_stats
    return statistics.inference_stats.success.count


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.01)


def test_requests_of_disconnected_clients_are_cancelled(tmp_path, free_ports, image):
    body = json.dumps({"image": base64.b64encode(image).decode(), "visualize": False}).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    detector = f"{DEMO}_detector"
    with (
        serve(REPOSITORY, tmp_path / "serve.log", free_ports(4), "--model", DEMO) as own,
        InferenceServerClient(own.grpc) as triton,
    ):
        assert own.post(image).status_code == 200
        start = executions(triton, detector)
        address = urlsplit(own.url)
        clients = [socket.create_connection((address.hostname, address.port)) for _ in range(40)]
        for client in clients:
            client.sendall(head + body)
        wait_until(lambda: executions(triton, detector) > start, "the first image was detected")
        for client in clients:
            client.close()
        left = {model: executions(triton, model) for model in (detector, "postprocess")}
        assert left[detector] - start < 20, "no request was left to cancel"

        # The status is 503 until the gateway notices that the clients have disconnected.
        own.wait_for(lambda: own.post(image).status_code == 200, "a response")
        # The requests inside the detector are finished there and go no further; waiting requests are never started.
        done = {model: executions(triton, model) - count for model, count in left.items()}
        assert done[detector] <= 1 + 8 + 4, done
        assert done["postprocess"] <= 1 + 4, done
        assert own.is_ready()


def test_far_more_clients_than_slots(tmp_path, free_ports, image, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOD_MAX_CONCURRENCY", "2")
    monkeypatch.setenv("SOD_MAX_QUEUE", "2")
    monkeypatch.setenv("SOD_READY_TTL", "0")  # every readiness check needs an inference of its own
    with serve(REPOSITORY, tmp_path / "serve.log", free_ports(4), "--model", DEMO, "--unready-restart", "1") as own:
        tritonserver = own.child("bin/tritonserver").pid
        replies: list[httpx.Response] = []
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                replies.append(own.post(image))

        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        ready = []
        until = time.monotonic() + 12  # two checks of the launcher, and --unready-restart
        while time.monotonic() < until or {reply.status_code for reply in replies} != {200, 503}:
            ready.append(own.http.get("/health/ready").status_code)
            time.sleep(0.2)
            assert time.monotonic() < until + 60
        stop.set()
        for thread in threads:
            thread.join(60)
        assert set(ready) == {200}
        for reply in replies:
            document = reply.json()
            assert document["errorCode"] == (0 if reply.status_code == 200 else 503)
            assert (int(reply.headers.get("retry-after", 0)) >= 1) == (reply.status_code == 503)
        assert own.post(image).status_code == 200
        assert own.child("bin/tritonserver").pid == tritonserver
        assert "starting it again" not in own.log.read_text()
