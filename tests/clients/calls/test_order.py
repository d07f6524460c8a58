"""Calls of `predict`: the order of results, the number of requests at once, and when the input is read."""

import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sod_client import InvalidConfigError, create_pipeline

from tests.clients.conftest import FakeServer, Reply, numbered, success


def test_results_come_in_order_and_requests_at_once_are_bounded(server: FakeServer) -> None:
    # Only the first three requests wait for each other. Later ones need not be with the server three at a time: while
    # the next result in order is missing, no further image may be sent.
    lock, arrived, barrier = threading.Lock(), iter(range(12)), threading.Barrier(3)

    def reply(body: Any) -> Reply:
        with lock:
            number = next(arrived)
        if number < 3:
            barrier.wait(60)
        return success(log_id=body["image"])

    server.reply = reply
    with create_pipeline(url=server.url, max_in_flight=3) as pipeline:
        paths = [(result.input_path, result.log_id) for result in pipeline.predict(numbered(12))]
    assert paths == [(url, url) for url in numbered(12)]
    assert server.most_at_once == 3
    assert len(server.connections) == 3, "connections were not reused"


def test_a_slow_image_does_not_change_the_order(server: FakeServer) -> None:
    others = threading.Event()

    def reply(body: Any) -> Reply:
        if body["image"].endswith("/0.jpg"):
            others.wait(30)
        elif body["image"].endswith("/5.jpg"):
            others.set()
        return success()

    server.reply = reply
    with create_pipeline(url=server.url, max_in_flight=4) as pipeline:
        assert [result.input_path for result in pipeline.predict(numbered(10))] == numbered(10)


def test_nothing_is_read_or_sent_before_a_result_is_requested(server: FakeServer) -> None:
    read: list[str] = []

    def source() -> Iterator[str]:
        for url in numbered(100):
            read.append(url)
            yield url

    with create_pipeline(url=server.url, max_in_flight=2) as pipeline:
        results = pipeline.predict(source())
        assert not read
        next(results)
        assert 1 <= len(read) <= 4, "at most twice as many as are in flight"
        assert len(server.requests) <= 4
        for _ in range(10):
            next(results)
        assert len(read) <= 14


def test_two_calls_share_the_bound(server: FakeServer) -> None:
    with create_pipeline(url=server.url, max_in_flight=2) as pipeline:
        calls = [pipeline.predict(numbered(5)) for _ in range(4)]
        assert [len(list(call)) for call in calls] == [5] * 4
        found: list[int] = []
        threads = [
            threading.Thread(target=lambda: found.append(len(list(pipeline.predict(numbered(9)))))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [9] * 4
    assert server.most_at_once <= 2


def test_results_are_not_kept(server: FakeServer) -> None:
    with create_pipeline(url=server.url, max_in_flight=2) as pipeline:
        for _ in pipeline.predict(numbered(50)):
            pass
        gc.collect()
        kept = [thing for thing in gc.get_objects() if type(thing).__name__ == "Result"]
    assert len(kept) <= 1, "the variable `_` still holds one"


def test_an_abandoned_call_stops_sending(server: FakeServer) -> None:
    with create_pipeline(url=server.url, max_in_flight=1) as pipeline:
        results = pipeline.predict(numbered(100))
        next(results)
        results.close()  # type: ignore[attr-defined]
        assert list(results) == []
        assert len(list(pipeline.predict(numbered(2)))) == 2
    assert len(server.requests) <= 6


def test_batch_size_has_no_effect(server: FakeServer) -> None:
    with create_pipeline(url=server.url) as pipeline:
        assert len(list(pipeline.predict(numbered(3), batch_size=8))) == 3
        assert len(list(pipeline(numbered(3), threshold=0.3))) == 3
        with pytest.raises(InvalidConfigError, match="batch_size must be a whole number from 1, not 0"):
            pipeline.predict(numbered(1), batch_size=0)
