"""Rate limits that gateways share, with a real Redis."""

import asyncio
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.limits.moving_windows import Rate
from gateway.limits.shared_windows import SharedWindows
from gateway.settings import Settings
from tests.gateway.conftest import MakeGateway
from tests.required import require

PATH = "/small-object-detection"


class Redis:
    """A server that can be stopped, frozen and started again."""

    def __init__(self, port: int, folder: Path) -> None:
        self.url = f"redis://:secret@127.0.0.1:{port}/1"
        self._command = [
            "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder),
            "--requirepass", "secret",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if b"Ready to accept connections" in line:
                return
        raise AssertionError("Redis has not started")

    def send(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


@pytest.fixture
def redis(free_ports: Callable[[int], list[int]], tmp_path: Path) -> Iterator[Redis]:
    require(shutil.which("redis-server"), "redis-server is absent: apt-get install redis-server")
    server = Redis(free_ports(1)[0], tmp_path)
    server.start()
    yield server
    server.stop()


Connect = Callable[..., SharedWindows]


@pytest.fixture
async def connect(redis: Redis) -> AsyncIterator[Connect]:
    made: list[SharedWindows] = []

    def make(*rates: Rate) -> SharedWindows:
        made.append(SharedWindows(redis.url, rates, failure="allow"))
        return made[-1]

    yield make
    for one in made:
        await one.close()


async def test_gateways_count_together(connect: Connect) -> None:
    one, other = (connect(Rate(4, 60)) for _ in range(2))
    decisions = [await windows.acquire("key a") for windows in (one, other, one, other, one)]
    assert [decision.allowed for decision in decisions] == [True] * 4 + [False]
    assert [decision.remaining for decision in decisions] == [3, 2, 1, 0, 0]
    assert 50 < decisions[-1].wait <= 60
    assert (await other.acquire("key b")).allowed, "another client"


async def test_requests_at_once_are_not_more_than_the_rate(connect: Connect) -> None:
    gateways = [connect(Rate(10, 60), Rate(1000, 3600)) for _ in range(3)]
    decisions = await asyncio.gather(*(gateways[i % 3].acquire("a") for i in range(40)))
    assert sum(decision.allowed for decision in decisions) == 10


async def test_every_rate_counts(connect: Connect) -> None:
    windows = connect(Rate(2, 1), Rate(3, 60))
    assert [(await windows.acquire("a")).allowed for _ in range(3)] == [True, True, False]
    await asyncio.sleep(1.1)
    assert (await windows.acquire("a")).allowed
    refused = await windows.acquire("a")
    assert (refused.allowed, refused.rate) == (False, Rate(3, 60))


async def test_slices_are_charged_as_far_as_the_rate_allows(connect: Connect) -> None:
    windows = connect(Rate(10, 60))
    await windows.acquire("a")
    assert (await windows.charge("a", 4)).remaining == 5
    assert (await windows.charge("a", 40)).remaining == 0
    assert not (await windows.acquire("a")).allowed


@pytest.mark.parametrize(("failure", "status"), [("allow", 200), ("refuse", 429)])
async def test_while_redis_is_away(
    redis: Redis, make_gateway: MakeGateway, image64: str, failure: str, status: int
) -> None:
    settings: dict[str, Any] = {
        "rate_limit": "3/minute",
        "rate_limit_storage": redis.url,
        "rate_limit_failure": failure,
    }
    async with make_gateway(**settings) as gateway:

        async def ask() -> int:
            return (await gateway.post(PATH, json={"image": image64, "visualize": False})).status_code

        assert [await ask() for _ in range(4)] == [200, 200, 200, 429]
        redis.stop()
        began = time.monotonic()
        assert [await ask() for _ in range(10)] == [status] * 10
        assert time.monotonic() - began < 30, "Redis is not asked by every request while it is away"
        failures = [
            line for line in (await gateway.get("/metrics")).text.splitlines() if "limit_failures_total " in line
        ]
        assert float(failures[-1].split()[1]) >= 10
        redis.start()
        async with asyncio.timeout(20):  # it counts from nothing
            expected = 429 if failure == "allow" else 200
            while await ask() != expected:  # noqa: ASYNC110 - nothing tells us
                await asyncio.sleep(0.2)


async def test_a_redis_that_hangs(redis: Redis, connect: Connect) -> None:
    windows = connect(Rate(2, 60))
    await windows.acquire("a")
    redis.send(signal.SIGSTOP)
    try:
        async with asyncio.timeout(10):
            assert all([(await windows.acquire("a")).allowed for _ in range(20)])
    finally:
        redis.send(signal.SIGCONT)


@pytest.mark.parametrize("url", ["localhost:6379", "http://a:1", "redis://", "memcached://a:1"])
def test_a_wrong_setting_is_said(url: str) -> None:
    with pytest.raises(ValueError, match="give redis://host:port"):
        Settings(rate_limit_storage=url)  # type: ignore[arg-type] # as from the environment


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(Settings(rate_limit_storage="redis://:secret@a:1"))  # type: ignore[arg-type]
