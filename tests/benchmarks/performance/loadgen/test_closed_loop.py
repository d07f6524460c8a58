"""The closed loop: what is counted, what is told of failures."""

import threading
import time
from contextlib import contextmanager

import pytest

from benchmarks.performance.loadgen.closed_loop import AskError, drive, rate, throughput


class Waiting:
    """Answers after so many seconds; every `broken`-th request fails."""

    name = "waiting"

    def __init__(self, seconds=0.01, broken=0):
        self.seconds, self.broken = seconds, broken
        self.asked = self.inside = self.most = self.sessions = 0
        self.lock = threading.Lock()

    @contextmanager
    def session(self):
        with self.lock:
            self.sessions += 1
        yield self.ask

    def ask(self):
        with self.lock:
            self.asked += 1
            self.inside += 1
            self.most = max(self.most, self.inside)
            fails = self.broken and self.asked % self.broken == 0
        time.sleep(self.seconds)
        with self.lock:
            self.inside -= 1
        if fails:
            raise AskError("no luck")


def test_so_many_clients_ask_without_a_pause():
    client = Waiting()
    seen = drive(client, 4, 0.3)
    assert client.most == client.sessions == 4
    assert len(seen.latencies_ms) == client.asked
    assert seen.errors == 0
    assert seen.latencies_ms.min() >= 10
    assert 0 < seen.throughput <= 4 / 0.01


def test_a_slow_answer_is_waited_for():
    seen = drive(Waiting(0.2), 2, 0.01, least=4)
    assert len(seen.latencies_ms) >= 2
    assert seen.seconds >= 0.2


def test_each_client_asks_once_at_least():
    assert len(drive(Waiting(0.05), 3, 0.001).latencies_ms) == 3


def test_failures_are_counted_and_told():
    client = Waiting(broken=3)
    seen = drive(client, 2, 0.2)
    assert seen.errors == client.asked // 3
    assert seen.first_error == "no luck"
    assert len(seen.latencies_ms) == client.asked - seen.errors


def test_no_connection_is_one_error():
    class Absent(Waiting):
        @contextmanager
        def session(self):
            raise OSError("nobody listens")
            yield

    with pytest.raises(AskError, match="waiting: nobody listens"):
        drive(Absent(), 8, 1.0)


def test_the_first_answer_is_not_of_the_steady_state():
    assert rate([(0.0, 5.0), (5.0, 5.1), (5.1, 5.2)]) == pytest.approx(10)


def test_answers_in_bursts_are_not_counted_twice():
    # Four clients, answered together every tenth of a second.
    burst = [(index / 10, (index + 1) / 10) for index in range(3)]
    assert throughput([burst] * 4, 0.0) == pytest.approx(40)


def test_of_few_answers_the_whole_time_counts():
    # Two clients, whose images take a second each, one after the other.
    assert throughput([[(0.0, 1.0)], [(0.0, 2.0)]], 0.0) == pytest.approx(1)
    assert throughput([[], []], 0.0) == 0
