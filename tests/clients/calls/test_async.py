"""Calls of `AsyncPipeline.predict`."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sod_client import AsyncPipeline, ConnectionFailedError, InvalidInputError, MissingFileError

from tests.clients.conftest import FakeServer, Reply, numbered, success


async def test_async_results_come_in_order(server: FakeServer, street: Path) -> None:
    async with AsyncPipeline(url=server.url, max_in_flight=3) as pipeline:
        given = [*numbered(10), str(street), "http://example.com/z.jpg"]
        for kind in (list, iter):
            assert [result.input_path async for result in pipeline.predict(kind(given))] == given
        assert [result.input_path async for result in pipeline(str(street.parent))] == [str(street)]
    assert server.most_at_once <= 3


async def test_an_async_source(server: FakeServer, street: Path) -> None:
    async def source(*, fails: bool) -> AsyncIterator[Any]:
        for url in numbered(7):
            yield url
        yield street.parent  # one entry, one image or more
        yield b""
        yield "http://example.com/z.jpg"
        if fails:
            raise KeyError("mine")

    expected = [*numbered(7), str(street), "http://example.com/z.jpg"]
    async with AsyncPipeline(url=server.url) as pipeline:
        found = [result.input_path async for result in pipeline.predict(source(fails=False), on_error="skip")]
        assert found == expected
        assert [error.input_path for error in pipeline.errors] == ["input[8]"]
        results = pipeline.predict(source(fails=True), on_error="skip")
        with pytest.raises(KeyError, match="mine"):
            async for _ in results:
                pass
        with pytest.raises(InvalidInputError, match=r"input\[8\]"):
            async for _ in pipeline.predict(source(fails=False)):
                pass


async def test_async_errors_are_the_same(server: FakeServer, mixed: list[Any], nowhere: str) -> None:
    async with AsyncPipeline(url=server.url) as pipeline:
        results = pipeline.predict(mixed)
        assert (await anext(results)).input_path == mixed[0]
        with pytest.raises(MissingFileError, match=r"missing\.jpg"):
            await anext(results)
        assert [result async for result in results] == []
        with pytest.raises(InvalidInputError):
            pipeline.predict(17)  # type: ignore[arg-type]
    with pytest.raises(ConnectionFailedError, match="closed"):
        await anext(pipeline.predict(mixed))
    async with AsyncPipeline(url=nowhere, retries=0) as pipeline:
        with pytest.raises(ConnectionFailedError):
            await anext(pipeline.predict(mixed))
        with pytest.raises(ConnectionFailedError):
            await pipeline.models()


async def test_an_async_call_can_be_cancelled(server: FakeServer) -> None:
    hold, arrived = threading.Event(), threading.Event()

    def reply(_: Any) -> Reply:
        arrived.set()
        hold.wait(30)
        return success()

    server.reply = reply
    async with AsyncPipeline(url=server.url) as pipeline:

        async def ask() -> None:
            async for _ in pipeline.predict(numbered(20)):
                pass

        task = asyncio.create_task(ask())
        await asyncio.to_thread(arrived.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        hold.set()
    assert len(server.requests) <= 8
