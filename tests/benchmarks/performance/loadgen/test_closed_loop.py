"""The closed loop: its rates, and how it reports failures."""

import threading
import time
from contextlib import contextmanager

import pytest

from benchmarks.performance.loadgen.closed_loop import RequestError, rate, run_closed_loop, throughput


class Waiting:
    """A client whose responses take some seconds; every `broken`-th request fails."""

    name = "waiting"

    def __init__(self, seconds=0.01, broken=0):
        self.seconds, self.broken = seconds, broken
        self.sent = self.inside = self.most = self.sessions = 0
        self.lock = threading.Lock()

    @contextmanager
    def session(self):
        with self.lock:
            self.sessions += 1
        yield self.send

    def send(self):
        with self.lock:
            self.sent += 1
            self.inside += 1
            self.most = max(self.most, self.inside)
            fails = self.broken and self.sent % self.broken == 0
        time.sleep(self.seconds)
        with self.lock:
            self.inside -= 1
        if fails:
            raise RequestError("no luck")


def test_every_client_sends_without_a_pause():
    client = Waiting()
    seen = run_closed_loop(client, 4, 0.3)
    assert client.most == client.sessions == 4
    assert len(seen.latencies_ms) == client.sent
    assert seen.errors == 0
    assert seen.latencies_ms.min() >= 10
    assert 0 < seen.throughput <= 4 / 0.01


def test_a_slow_response_is_waited_for():
    seen = run_closed_loop(Waiting(0.2), 2, 0.01, min_responses=4)
    assert len(seen.latencies_ms) >= 2
    assert seen.seconds >= 0.2


def test_each_client_sends_at_least_one_request():
    assert len(run_closed_loop(Waiting(0.05), 3, 0.001).latencies_ms) == 3


def test_failures_are_counted_and_the_first_is_reported():
    client = Waiting(broken=3)
    seen = run_closed_loop(client, 2, 0.2)
    assert seen.errors == client.sent // 3
    assert seen.first_error == "no luck"
    assert len(seen.latencies_ms) == client.sent - seen.errors


def test_no_connection_is_one_error():
    class Absent(Waiting):
        @contextmanager
        def session(self):
            raise OSError("nobody listens")
            yield

    with pytest.raises(RequestError, match="waiting: nobody listens"):
        run_closed_loop(Absent(), 8, 1.0)


def test_the_rate_leaves_the_first_response_out():
    assert rate([(0.0, 5.0), (5.0, 5.1), (5.1, 5.2)]) == pytest.approx(10)


def test_responses_in_bursts_are_not_counted_twice():
    # Four clients, whose responses arrive together every tenth of a second.
    burst = [(index / 10, (index + 1) / 10) for index in range(3)]
    assert throughput([burst] * 4, 0.0) == pytest.approx(40)


def test_the_throughput_of_few_responses_is_taken_over_the_whole_time():
    # Two clients, whose images take a second each, one after the other.
    assert throughput([[(0.0, 1.0)], [(0.0, 2.0)]], 0.0) == pytest.approx(1)
    assert throughput([[], []], 0.0) == 0
