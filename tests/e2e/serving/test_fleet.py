"""A gateway in front of two real Tritons, of which one is killed, frozen, or ended in order, under load."""

import base64
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from export.verification.images import synthetic_image
from sod.encode import encode_image
from tests.e2e.conftest import DEMO
from tests.e2e.started_server import REPOSITORY, Serving, serve
from tests.gateway.logged_process import logging_to

PATH = "/small-object-detection"
CLIENTS = 4


class Fleet:
    """The gateway, and the launcher of the Triton that things happen to; the other Triton is everybody's."""

    def __init__(self, url: str, steady: Serving, unlucky: Serving) -> None:
        self.url, self.steady, self.unlucky = url, steady, unlucky
        image = encode_image(synthetic_image(320, 480, seed=5))
        self.body = {"image": base64.b64encode(image).decode(), "visualize": False, "model": DEMO}

    def answered(self, serving: Serving) -> int:
        """How many inferences a Triton has answered for this gateway."""
        line = f'sod_triton_requests_total{{outcome="answered",replica="{serving.grpc}"}} '
        lines = httpx.get(f"{self.url}/metrics", timeout=60).text.splitlines()
        return next((int(float(one.removeprefix(line))) for one in lines if one.startswith(line)), 0)

    @contextmanager
    def load(self) -> Iterator[Counter[int]]:
        """Requests of several clients; yields the statuses of the responses."""
        stop, statuses = threading.Event(), Counter[int]()

        def ask() -> None:
            with httpx.Client(base_url=self.url, timeout=120) as http:
                while not stop.is_set():
                    statuses[http.post(PATH, json=self.body).status_code] += 1

        threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield statuses
        finally:
            stop.set()
            for thread in threads:
                thread.join(150)


@pytest.fixture(scope="module")
def fleet(
    server: Serving, tmp_path_factory: pytest.TempPathFactory, free_ports: Callable[[int], list[int]]
) -> Iterator[Fleet]:
    folder: Path = tmp_path_factory.mktemp("fleet")
    with (
        serve(REPOSITORY, folder / "serve.log", free_ports(4), "--model", DEMO) as unlucky,
        logging_to(folder / "gateway.log", "--triton-url", f"{server.grpc},{unlucky.grpc}") as (url, _),
    ):
        yield Fleet(url, server, unlucky)


def test_both_answer(fleet: Fleet) -> None:
    with fleet.load() as statuses:
        fleet.unlucky.wait_for(lambda: min(map(fleet.answered, (fleet.steady, fleet.unlucky))) >= 5, "a share of both")
    assert set(statuses) == {200}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
def test_no_request_fails_when_a_triton_is_lost_and_comes_back(fleet: Fleet, number: signal.Signals) -> None:
    """The launcher replaces the Triton; the gateway asks the other one meanwhile."""
    with fleet.load() as statuses:
        fleet.unlucky.wait_for(lambda: sum(statuses.values()) >= 2 * CLIENTS, "load")
        process = fleet.unlucky.child("bin/tritonserver")
        process.send_signal(number)
        fleet.unlucky.wait_for(lambda: not process.is_running(), "the loss of Triton", 120)
        before = fleet.answered(fleet.unlucky)
        fleet.unlucky.wait_for(lambda: fleet.answered(fleet.unlucky) >= before + 5, "a share of the new one", 120)
    assert set(statuses) == {200}, statuses
    assert httpx.get(f"{fleet.url}/health/ready", timeout=60).status_code == 200
