"""The counts, without HTTP."""

import logging

import pytest

from gateway.errors import OverloadedError, TooManyBytesError
from gateway.limits.load_shedder import REQUEST_BYTES, LoadShedder, Permit, charge


def make(places: int = 2, max_bytes: int = 10 * REQUEST_BYTES, seconds: float = 0.0) -> LoadShedder:
    return LoadShedder(places=places, max_bytes=max_bytes, wait_s=lambda count: count * seconds)


def test_places_and_bytes_come_back() -> None:
    shedder = make()
    with shedder.enter(100) as first, shedder.enter(0):
        assert (shedder.requests, shedder.taken, shedder.bytes_held) == (2, 2, 2 * REQUEST_BYTES + 100)
        with pytest.raises(OverloadedError):
            shedder.enter(0)
        assert (shedder.requests, shedder.taken, shedder.bytes_held) == (2, 2, 2 * REQUEST_BYTES + 100)
        first.give_place_back()
        first.give_place_back()
        assert shedder.taken == 1
        first.take_place()
        first.take_place()
        assert shedder.taken == 2
    assert (shedder.requests, shedder.taken, shedder.bytes_held) == (0, 0, 0)
    assert shedder.rejected == {"places": 1}


def test_late_requests_go_beyond_the_places() -> None:
    shedder = make(places=1)
    with shedder.enter(0) as first:
        first.give_place_back()
        with shedder.enter(0) as second:
            first.take_place(late=True)
            assert shedder.taken == 2
            second.give_place_back()
            with pytest.raises(OverloadedError):
                second.take_place()
            second.take_place(late=True)
            third = Permit(shedder)
            with third, pytest.raises(OverloadedError):
                third.take_place(late=True)
    assert (shedder.requests, shedder.taken) == (0, 0)


def test_bytes_grow_and_shrink() -> None:
    shedder = make()
    with shedder.enter(8 * REQUEST_BYTES) as first:
        with pytest.raises(OverloadedError):
            shedder.enter(REQUEST_BYTES)
        with pytest.raises(OverloadedError):
            shedder.enter(1)
        first.hold(10)
        assert shedder.bytes_held == REQUEST_BYTES + 10
        first.grow_to(5)
        assert shedder.bytes_held == REQUEST_BYTES + 10
        first.grow_to(15)
        assert shedder.bytes_held == REQUEST_BYTES + 15
        first.charge(5)
        assert shedder.bytes_held == REQUEST_BYTES + 20
        with shedder.enter(0) as second:
            second.charge_answer(20 * REQUEST_BYTES)  # is not refused
            assert shedder.bytes_held > shedder.max_bytes
            with pytest.raises(OverloadedError):
                first.charge(1)
            first.hold(0)  # to hold less is always right
        with pytest.raises(TooManyBytesError):
            first.charge(10 * REQUEST_BYTES)
        assert shedder.bytes_held == REQUEST_BYTES
    assert (shedder.requests, shedder.taken, shedder.bytes_held) == (0, 0, 0)
    with pytest.raises(TooManyBytesError):
        shedder.enter(9 * REQUEST_BYTES + 1)
    assert (shedder.requests, shedder.taken, shedder.bytes_held) == (0, 0, 0)
    assert shedder.rejected == {"bytes": 3, "too_large": 2}


def test_charge_finds_the_request() -> None:
    shedder = make()
    charge(10**9)  # outside of one: a readiness check
    with shedder.enter(0):
        charge(7)
        assert shedder.bytes_held == REQUEST_BYTES + 7
    charge(10**9)
    assert shedder.bytes_held == 0


@pytest.mark.parametrize(("seconds", "header"), [(0.0, "1"), (0.1, "1"), (2.2, "5"), (1000.0, "60")])
def test_retry_after(seconds: float, header: str) -> None:
    shedder = make(seconds=seconds)
    with shedder.enter(0), shedder.enter(0), pytest.raises(OverloadedError) as refused:
        shedder.enter(0)
    assert refused.value.headers == {"Retry-After": header}


def test_the_log_is_not_flooded(caplog: pytest.LogCaptureFixture) -> None:
    shedder = make(places=0)
    with caplog.at_level(logging.WARNING, "gateway"):
        for _ in range(1000):
            with pytest.raises(OverloadedError):
                shedder.enter(0)
    assert [record.getMessage() for record in caplog.records] == [
        "requests turned away or given up since this was last said: places 1 (1 inside now, with 0 MiB)"
    ]
    assert shedder.rejected == {"places": 1000}
