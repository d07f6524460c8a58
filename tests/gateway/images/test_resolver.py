"""The system's resolver, kept in bounds."""

import asyncio
import threading

import pytest

from gateway.images import resolver
from gateway.images.resolver import SystemResolver


async def test_localhost() -> None:
    assert set(await SystemResolver(1)("localhost")) <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize("name", ["nobody.invalid", "a" * 64 + ".example", "a..b", "é" * 70])
async def test_names_without_an_address(name: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - its text is the system's
        await SystemResolver(1)(name)


async def test_lookups_are_bounded_and_outlive_who_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lookup nobody waits for keeps its place until it ends, so that there are never more of them."""
    started: list[str] = []
    go = threading.Event()

    def slow(name: str) -> list[str]:
        started.append(name)
        assert go.wait(60)
        return ["192.0.2.1"]

    monkeypatch.setattr(resolver, "_getaddrinfo", slow)
    resolve = SystemResolver(2)
    try:
        for name in ("a", "b", "c"):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await resolve(name)
        assert sorted(started) == ["a", "b"]
    finally:
        go.set()
    async with asyncio.timeout(60):
        assert await asyncio.gather(resolve("d"), resolve("e")) == [["192.0.2.1"]] * 2


async def test_no_thread_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    resolve = SystemResolver(1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(2):  # the place was given back
            with pytest.raises(OSError, match="new thread"):
                await resolve("localhost")
    assert await resolve("localhost")
