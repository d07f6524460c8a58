"""The totals, without HTTP."""

import logging

import pytest

from gateway.error_responses import response_to
from gateway.errors import OverloadedError, TooManyBytesError
from gateway.limits.load_shedder import REQUEST_BYTES, LoadShedder, Permit, charge


def make(slots: int = 2, max_bytes: int = 10 * REQUEST_BYTES, seconds: float = 0.0) -> LoadShedder:
    return LoadShedder(slots=slots, max_bytes=max_bytes, estimated_wait_s=lambda count: count * seconds)


def test_slots_and_bytes_are_released() -> None:
    shedder = make()
    with shedder.acquire(100) as first, shedder.acquire(0):
        assert (shedder.requests, shedder.slots_in_use, shedder.reserved_bytes) == (2, 2, 2 * REQUEST_BYTES + 100)
        with pytest.raises(OverloadedError):
            shedder.acquire(0)
        assert (shedder.requests, shedder.slots_in_use, shedder.reserved_bytes) == (2, 2, 2 * REQUEST_BYTES + 100)
        first.release_slot()
        first.release_slot()
        assert shedder.slots_in_use == 1
        first.acquire_slot()
        first.acquire_slot()
        assert shedder.slots_in_use == 2
    assert (shedder.requests, shedder.slots_in_use, shedder.reserved_bytes) == (0, 0, 0)
    assert shedder.rejected == {"slots": 1}


def test_late_bodies_may_use_up_to_twice_the_slots() -> None:
    shedder = make(slots=1)
    with shedder.acquire(0) as first:
        first.release_slot()
        with shedder.acquire(0) as second:
            first.acquire_slot(late=True)
            assert shedder.slots_in_use == 2
            second.release_slot()
            with pytest.raises(OverloadedError):
                second.acquire_slot()
            second.acquire_slot(late=True)
            third = Permit(shedder)
            with third, pytest.raises(OverloadedError):
                third.acquire_slot(late=True)
    assert (shedder.requests, shedder.slots_in_use) == (0, 0)


def test_bytes_grow_and_shrink() -> None:
    shedder = make()
    with shedder.acquire(8 * REQUEST_BYTES) as first:
        with pytest.raises(OverloadedError):
            shedder.acquire(REQUEST_BYTES)
        with pytest.raises(OverloadedError):
            shedder.acquire(1)
        first.reserve(10)
        assert shedder.reserved_bytes == REQUEST_BYTES + 10
        first.reserve_at_least(5)
        assert shedder.reserved_bytes == REQUEST_BYTES + 10
        first.reserve_at_least(15)
        assert shedder.reserved_bytes == REQUEST_BYTES + 15
        first.reserve_more(5)
        assert shedder.reserved_bytes == REQUEST_BYTES + 20
        with shedder.acquire(0) as second:
            second.reserve_response(20 * REQUEST_BYTES)  # is never rejected
            assert shedder.reserved_bytes > shedder.max_bytes
            with pytest.raises(OverloadedError):
                first.reserve_more(1)
            first.reserve(0)  # a smaller reservation is never rejected
        with pytest.raises(TooManyBytesError):
            first.reserve_more(10 * REQUEST_BYTES)
        assert shedder.reserved_bytes == REQUEST_BYTES
    assert (shedder.requests, shedder.slots_in_use, shedder.reserved_bytes) == (0, 0, 0)
    with pytest.raises(TooManyBytesError):
        shedder.acquire(9 * REQUEST_BYTES + 1)
    assert (shedder.requests, shedder.slots_in_use, shedder.reserved_bytes) == (0, 0, 0)
    assert shedder.rejected == {"bytes": 3, "too_large": 2}


def test_charge_applies_to_the_current_request() -> None:
    shedder = make()
    charge(10**9)  # outside of one: a readiness check
    with shedder.acquire(0):
        charge(7)
        assert shedder.reserved_bytes == REQUEST_BYTES + 7
    charge(10**9)
    assert shedder.reserved_bytes == 0


@pytest.mark.parametrize(("seconds", "header"), [(0.0, "1"), (0.1, "1"), (2.2, "5"), (1000.0, "60")])
def test_retry_after(seconds: float, header: str) -> None:
    shedder = make(seconds=seconds)
    with shedder.acquire(0), shedder.acquire(0), pytest.raises(OverloadedError) as refused:
        shedder.acquire(0)
    assert response_to(refused.value).headers["retry-after"] == header


def test_the_log_is_not_flooded(caplog: pytest.LogCaptureFixture) -> None:
    shedder = make(slots=0)
    with caplog.at_level(logging.WARNING, "gateway"):
        for _ in range(1000):
            with pytest.raises(OverloadedError):
                shedder.acquire(0)
    assert [record.getMessage() for record in caplog.records] == [
        "requests rejected or aborted since the last such line: slots 1 (1 requests in progress use 0 MiB)"
    ]
    assert shedder.rejected == {"slots": 1000}
