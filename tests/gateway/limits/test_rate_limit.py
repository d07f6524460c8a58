"""The rate limit: its syntax, its decisions, how clients are told apart, and bounded memory."""

import base64
import tracemalloc
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.limits.moving_windows import MovingWindows, Rate
from gateway.limits.rate_limit import client_of, parse_rates
from gateway.settings import Settings
from tests.gateway.api.test_contract import assert_error
from tests.gateway.security.test_api_keys import entry

PATH = "/small-object-detection"


class Clock:
    """A clock that stands until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10/second", [Rate(10, 1)]),
        ("600/minute", [Rate(600, 60)]),
        ("600 per minute", [Rate(600, 60)]),
        ("5/10 seconds", [Rate(5, 10)]),
        ("10/second; 600/hour", [Rate(10, 1), Rate(600, 3600)]),
        ("1/DAY", [Rate(1, 86400)]),
        ("100000/day", [Rate(100_000, 86400)]),
    ],
)
def test_the_setting(text: str, expected: list[Rate], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOD_RATE_LIMIT", text)
    assert Settings().rate_limit == tuple(expected)


@pytest.mark.parametrize(
    "text",
    ["", "10", "/second", "ten/second", "10/fortnight", "10/second x", "-1/second", "1.5/second", "0/second",
     "100001/day", "1/99999999999999999999 years", f"{'9' * 5000}/second", "1/second\n2/minute"],
)  # fmt: skip
def test_a_malformed_rate_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"send a number per second|a rate is 1 to 100,000 requests"):
        parse_rates(text)


def test_the_window_moves() -> None:
    clock = Clock()
    windows = MovingWindows([Rate(2, 10)], clock=clock)
    assert windows.acquire("a").remaining == 1
    clock.now += 6
    assert windows.acquire("a").remaining == 0
    decision = windows.acquire("a")
    assert (decision.allowed, decision.remaining, decision.wait) == (False, 0, 4)
    assert windows.acquire("b").allowed  # of its own
    clock.now += 3.5
    assert windows.acquire("a").wait == 0.5
    clock.now += 0.5  # the first one has left, not the second
    assert windows.acquire("a").allowed
    assert not windows.acquire("a").allowed
    assert windows.acquire("a").wait == 6


def test_rejected_requests_are_not_counted() -> None:
    clock = Clock()
    windows = MovingWindows([Rate(1, 10)], clock=clock)
    assert windows.acquire("a").allowed
    for _ in range(9):
        clock.now += 1
        assert not windows.acquire("a").allowed
    clock.now += 1
    assert windows.acquire("a").allowed


def test_several_rates_apply_together() -> None:
    clock = Clock()
    windows = MovingWindows([Rate(2, 1), Rate(3, 60)], clock=clock)
    assert [windows.acquire("a").allowed for _ in range(3)] == [True, True, False]
    clock.now += 1
    decision = windows.acquire("a")
    assert (decision.allowed, decision.remaining, decision.rate) == (True, 0, Rate(3, 60))
    decision = windows.acquire("a")
    assert (decision.allowed, decision.rate, decision.wait) == (False, Rate(3, 60), 59)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 30)), min_size=1, max_size=3),
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([0.0, 0.25, 1.0, 3.0, 20.0])), max_size=60),
)
def test_decisions_match_the_definition(rates: list[tuple[int, int]], asked: list[tuple[str, float]]) -> None:
    """Against the definition: a request passes if fewer than n of its client passed in the last s seconds."""
    clock = Clock()
    windows = MovingWindows([Rate(*rate) for rate in rates], clock=clock)
    passed: dict[str, list[float]] = {"a": [], "b": []}
    for client, pause in asked:
        clock.now += pause
        free = all(sum(t > clock.now - s for t in passed[client]) < n for n, s in rates)
        decision = windows.acquire(client)
        assert decision.allowed == free
        if free:
            passed[client].append(clock.now)
        else:  # and when it says to come again, it passes
            back = clock.now + decision.wait
            assert all(sum(t > back - s for t in passed[client]) < n for n, s in rates)
        left = min(n - sum(t > clock.now - s for t in passed[client]) for n, s in rates)
        assert decision.remaining == left


def test_memory_is_bounded_by_clients_and_by_requests() -> None:
    clock = Clock()
    windows = MovingWindows([Rate(100, 3600)], max_clients=50, max_times=200, clock=clock)
    for i in range(1000):
        windows.acquire(f"client {i}")
    assert windows.clients == 50
    for client in ("a", "b", "c"):
        for _ in range(100):
            assert windows.acquire(client).allowed
    assert windows.times <= 200
    assert windows.clients == 2
    assert not windows.acquire("c").allowed  # who asks now is not forgotten
    assert not windows.acquire("b").allowed
    assert windows.acquire("a").allowed  # who was quiet for longest was


def test_inactive_clients_are_forgotten() -> None:
    clock = Clock()
    windows = MovingWindows([Rate(5, 60)], clock=clock)
    for i in range(1000):
        windows.acquire(f"client {i}")
    clock.now += 61
    windows.acquire("another")
    assert (windows.clients, windows.times) == (1, 1)


def test_many_addresses_take_little_memory() -> None:
    """As bounded as its settings are: 10,000 clients, and no more, of any number."""
    windows = MovingWindows([Rate(10, 3600)])
    tracemalloc.start()
    try:
        for i in range(30_000):
            windows.acquire(f"address 10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}")
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert windows.clients == 10_000
    assert used < 16_000_000


def test_times_are_those_inside_the_longest_window() -> None:
    clock = Clock()
    windows = MovingWindows([Rate(2, 1), Rate(4, 10)], clock=clock)
    accepted: dict[str, list[float]] = {client: [] for client in "abc"}
    for i in range(300):
        client = "abc"[i * 7 % 3]
        if windows.acquire(client).allowed:
            accepted[client].append(clock.now)
        # A client's old times are dropped when it sends a request, the last active client's at any time.
        assert sum(t > clock.now - 10 for times in accepted.values() for t in times) <= windows.times <= 3 * 4
        clock.now += 0.3


def caller(gateway: Any, address: str | None) -> httpx.AsyncClient:
    """A client of the same gateway that comes from `address`."""
    client = None if address is None else (address, 1234)
    transport = httpx.ASGITransport(gateway.app, client=client)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://gateway")


async def test_429_and_its_headers(make_gateway: Any, image64: str, triton: Any) -> None:
    body = {"image": image64, "visualize": False}
    async with make_gateway(rate_limit="2/hour") as gateway:
        for left in ("1", "0"):
            answer = await gateway.post(PATH, json=body)
            assert answer.status_code == 200
            assert (answer.headers["RateLimit-Limit"], answer.headers["RateLimit-Remaining"]) == ("2", left)
            assert 3500 < int(answer.headers["RateLimit-Reset"]) <= 3600
            assert "Retry-After" not in answer.headers
        answer = await gateway.post(PATH, json=body)
        told = assert_error(answer, 429)
        wait = answer.headers["Retry-After"]
        assert told == f"More than 2 requests in 3,600 s: try again in {wait} s"
        assert 3500 < int(wait) <= 3600
        assert answer.headers["RateLimit-Remaining"] == "0"
        assert len(triton.images) == 2
        # The rest is not counted, and not limited.
        assert (await gateway.get("/models")).status_code == 200
        assert (await gateway.get("/health")).status_code == 200
        assert (await gateway.get(PATH)).status_code == 405
        assert "RateLimit-Limit" not in (await gateway.get("/models")).headers


async def test_an_invalid_request_is_counted(make_gateway: Any) -> None:
    async with make_gateway(rate_limit="1/hour") as gateway:
        answer = await gateway.post(PATH, content=b"no JSON")
        assert answer.status_code == 422
        assert answer.headers["RateLimit-Remaining"] == "0"
        assert (await gateway.post(PATH, content=b"no JSON")).status_code == 429


async def test_batches_and_images_share_a_limit(make_gateway: Any) -> None:
    async with make_gateway(rate_limit="1/hour") as gateway:
        assert (await gateway.post(f"{PATH}/batch", content=b"{}")).status_code != 429
        assert (await gateway.post(PATH, content=b"{}")).status_code == 429


async def test_clients_without_keys_are_limited_by_address(make_gateway: Any) -> None:
    async with make_gateway(rate_limit="1/hour") as gateway:
        for address in ("192.0.2.1", "192.0.2.2", "2001:db8:0:1::1", "2001:db8:0:2::1", None):
            async with caller(gateway, address) as client:
                assert (await client.post(PATH, content=b"{}")).status_code == 422
                forged = {"X-Forwarded-For": "198.51.100.7", "Forwarded": "for=198.51.100.7", "X-API-Key": "another"}
                assert (await client.post(PATH, content=b"{}", headers=forged)).status_code == 429


async def test_clients_with_keys_are_limited_by_name(make_gateway: Any) -> None:
    keys = ",".join([entry("field", "old"), entry("field", "new"), entry("office", "other")])
    async with make_gateway(rate_limit="2/hour", api_keys=keys) as gateway:

        async def ask(address: str, key: str) -> int:
            async with caller(gateway, address) as client:
                return (await client.post(PATH, content=b"{}", headers={"X-API-Key": key})).status_code

        # Without a key nothing is counted, so a stranger cannot spend another's share.
        assert [await ask("192.0.2.1", "wrong") for _ in range(5)] == [401] * 5
        # Two keys of one name share, wherever they come from.
        assert [await ask("192.0.2.1", "old"), await ask("192.0.2.2", "new")] == [422, 422]
        assert [await ask("192.0.2.3", "old"), await ask("192.0.2.4", "new")] == [429, 429]
        assert await ask("192.0.2.1", "other") == 422


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.1", "address 192.0.2.1"),
        ("::ffff:192.0.2.1", "address 192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "address 2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "address 2001:db8:1:2::/64"),
        ("fe80::1%eth0", "address fe80::/64"),
        ("unknown", "address unknown"),
        ("x" * 1000, f"address {'x' * 64}"),
    ],
)
def test_client_of_an_address(address: str, name: str) -> None:
    assert client_of({"client": (address, 1)}) == name


def test_without_the_setting_there_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOD_RATE_LIMIT", "")
    assert Settings().rate_limit == ()


def test_what_is_charged_beyond_the_rates_is_paid_for_before_the_next_request() -> None:
    clock = Clock()
    windows = MovingWindows([Rate(10, 1), Rate(20, 10)], clock=clock)
    assert windows.acquire("a").remaining == 9
    assert windows.charge("a", 4).remaining == 5
    assert windows.charge("a", 45).remaining == 0  # 50 in all, which the rates allow in 20 s: at 0, 1, 10, 11, 20 s
    waited = 0.0
    while not (decision := windows.acquire("a")).allowed:
        assert decision.wait > 0
        clock.now += decision.wait
        waited += decision.wait
    assert waited == 21
    assert windows.acquire("b").allowed, "another client pays for its own"


def test_what_is_charged_takes_bounded_memory() -> None:
    clock = Clock()
    windows = MovingWindows([Rate(100, 60)], clock=clock)
    windows.acquire("a")
    windows.charge("a", 100_000)
    assert windows.times == 100
    clock.now += 60 * 1000
    assert windows.acquire("a").allowed


async def test_each_slice_counts(make_gateway: Any, triton: Any) -> None:
    triton.models["PP-YOLOE_plus_SOD-S"]["parameters"]["input_size"] = [100, 100]
    triton.add_pixel_entrance("PP-YOLOE_plus_SOD-S")
    encoded = cv2.imencode(".png", np.zeros((300, 400, 3), np.uint8))[1].tobytes()
    body = {"image": base64.b64encode(encoded).decode(), "visualize": False}
    async with make_gateway(rate_limit="50/hour") as gateway:
        whole = await gateway.post(PATH, json=body)
        sliced = await gateway.post(PATH, json={**body, "slice": True})
        assert [one.headers["RateLimit-Remaining"] for one in (whole, sliced)] == ["49", "28"]
        images = [{**body, "slice": True}, {**body, "slice": {"fullImage": False}}]
        batch = await gateway.post(f"{PATH}/batch", json={"images": images})  # 21 and 20: more than are left
        assert [one["errorCode"] for one in batch.json()["result"]["results"]] == [0, 0]
        assert batch.headers["RateLimit-Remaining"] == "0"
        refused = await gateway.post(PATH, json=body)
        assert refused.status_code == 429
        assert 3500 < int(refused.headers["Retry-After"]) <= 3600
