"""The system's resolver, kept in bounds."""

import asyncio
import socket
import threading
from typing import Any

import pytest

from gateway.images.resolver import SystemResolver


async def test_localhost() -> None:
    assert set(await SystemResolver(1)("localhost")) <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize("name", ["nobody.invalid", "a" * 64 + ".example", "a..b", "é" * 70])
async def test_names_without_an_address(name: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - its text is the system's
        await SystemResolver(1)(name)


async def test_lookups_are_bounded_and_outlive_their_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lookup that nobody awaits keeps its slot until it ends, so that their number stays bounded."""
    started: list[str] = []
    go = threading.Event()

    def slow(name: str, *_: object, **__: object) -> list[tuple[Any, ...]]:
        started.append(name)
        assert go.wait(60)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]

    monkeypatch.setattr("gateway.images.resolver.socket.getaddrinfo", slow)
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
        for _ in range(2):  # the slot is free again
            with pytest.raises(OSError, match="new thread"):
                await resolve("localhost")
    assert await resolve("localhost")
