"""The expected seconds of work of a Triton."""

from collections.abc import Callable

import pytest

from gateway.inference.replicas import workload
from gateway.inference.replicas.workload import Workload


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(workload, "monotonic", clock)
    return clock


def run(load: Workload, clock: Clock, model: str, seconds: float, times: int = 1) -> None:
    for _ in range(times):
        with load.job(model) as job:
            clock.now += seconds
            job.measured = True


def test_requests_count_by_their_seconds(clock: Clock) -> None:
    one, other = Workload(), Workload()
    for load in (one, other):
        run(load, clock, "small", 0.1, 5)
        run(load, clock, "large", 7, 5)
    with one.job("large"), other.job("small"), other.job("small"), other.job("small"):
        assert one.expected("small", 0.1, clock.now) == pytest.approx(7.1)
        assert other.expected("small", 0.1, clock.now) == pytest.approx(0.4)
    assert len(one) == len(other) == 0
    assert one.expected("small", 0.1, clock.now) == pytest.approx(0.1)


def test_a_duration_is_learnt_whatever_is_ahead(clock: Clock) -> None:
    load = Workload()
    for _ in range(20):
        with load.job("m") as first, load.job("m") as second, load.job("m") as third:
            clock.now += 0.3  # three in 0.3 s
            first.measured = second.measured = third.measured = True
    assert 0.1 <= (load.seconds("m") or 0) <= 0.2, "one that is done together with two others takes less than alone"
    run(load, clock, "m", 0.4, 30)
    assert load.seconds("m") == pytest.approx(0.4, rel=0.01)


def test_a_request_that_failed_teaches_nothing(clock: Clock) -> None:
    load = Workload()
    with load.job("m"):
        clock.now += 0.001
    assert load.seconds("m") is None


def test_a_triton_that_answers_nothing_gets_busier(clock: Clock) -> None:
    load = Workload()
    run(load, clock, "m", 0.1, 3)
    with load.job("m"):
        at_once = load.expected("m", 0.1, clock.now)
        clock.now += 2
        assert at_once == pytest.approx(0.2)
        assert load.expected("m", 0.1, clock.now) == pytest.approx(4)


def test_a_slow_triton_is_tried_again(clock: Clock) -> None:
    load = Workload()
    run(load, clock, "m", 1.0, 3)
    assert load.expected("m", 0.1, clock.now) == pytest.approx(1.0)
    clock.now += 60
    assert load.expected("m", 0.1, clock.now) == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("best", [None, 0.2])
def test_an_unknown_model_is_as_fast_as_elsewhere(best: float | None, clock: Callable[[], float]) -> None:
    assert Workload().expected("m", best, clock()) == (best or 0.1)
