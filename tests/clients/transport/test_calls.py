"""Calls of `predict`: order, how many requests at once, what is read when, retries, and errors on the way."""

import gc
import logging
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from sod_client import (
    AsyncPipeline,
    BadReplyError,
    ConnectionFailedError,
    InvalidConfigError,
    InvalidInputError,
    MissingFileError,
    ServerBusyError,
    ServerError,
    SodError,
    create_pipeline,
)

from tests.clients.conftest import SUCCESS, FakeServer, Reply, jpeg

BUSY = {"logId": "7", "errorCode": 503, "errorMsg": "full"}


def answer(*, log_id: str = "7") -> Reply:
    import json

    return 200, json.dumps({**SUCCESS, "logId": log_id}).encode()


def numbered(count: int) -> list[str]:
    """Images that the server can tell apart."""
    return [f"http://example.com/{number}.jpg" for number in range(count)]


# Order and bounds


def test_results_come_in_order_and_requests_at_once_are_bounded(server: FakeServer) -> None:
    # The first three wait for each other. Not all twelve by threes: the window ends at the first image that has no
    # answer, and one that was overtaken at the door may be the only one left in it.
    lock, arrived, gate = threading.Lock(), iter(range(12)), threading.Barrier(3)

    def reply(body: Any) -> Reply:
        with lock:
            number = next(arrived)
        if number < 3:
            gate.wait(60)
        return answer(log_id=body["image"])

    server.reply = reply
    with create_pipeline(url=server.url, max_in_flight=3) as pipeline:
        paths = [(result.input_path, result.log_id) for result in pipeline.predict(numbered(12))]
    assert paths == [(url, url) for url in numbered(12)]
    assert server.most_at_once == 3
    assert len(server.connections) == 3, "connections were not used again"


def test_a_slow_image_does_not_change_the_order(server: FakeServer) -> None:
    others = threading.Event()

    def reply(body: Any) -> Reply:
        if body["image"].endswith("/0.jpg"):
            others.wait(30)
        elif body["image"].endswith("/5.jpg"):
            others.set()
        return answer()

    server.reply = reply
    with create_pipeline(url=server.url, max_in_flight=4) as pipeline:
        assert [result.input_path for result in pipeline.predict(numbered(10))] == numbered(10)


def test_nothing_is_read_or_sent_before_a_result_is_asked_for(server: FakeServer) -> None:
    read: list[str] = []

    def source() -> Iterator[str]:
        for url in numbered(100):
            read.append(url)
            yield url

    with create_pipeline(url=server.url, max_in_flight=2) as pipeline:
        results = pipeline.predict(source())
        assert not read
        next(results)
        assert 1 <= len(read) <= 4, "twice as many as are under way, at most"
        assert len(server.requests) <= 4
        for _ in range(10):
            next(results)
        assert len(read) <= 14


def test_a_slow_source_does_not_hold_a_result_back(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    asked: list[Future[Any]] = []

    def camera() -> Iterator[str]:
        for number, url in enumerate(numbered(3)):
            if number == 2:
                # The first answer is there before the third image is asked for.
                assert given == [0]
            yield url
            asked[number].exception(30)  # slower than the answer

    with create_pipeline(url=server.url) as pipeline:
        pool = pipeline._core._pool
        submit = pool.submit

        def noted(call: Callable[[], Any]) -> Future[Any]:
            asked.append(submit(call))
            return asked[-1]

        monkeypatch.setattr(pool, "submit", noted)
        for number, _ in enumerate(pipeline.predict(camera())):
            given.append(number)
    assert given == [0, 1, 2]


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
    assert len(kept) <= 1, "`_` is one"


def test_an_abandoned_call_stops_sending(server: FakeServer) -> None:
    with create_pipeline(url=server.url, max_in_flight=1) as pipeline:
        results = pipeline.predict(numbered(100))
        next(results)
        results.close()  # type: ignore[attr-defined]
        assert list(results) == []
        assert len(list(pipeline.predict(numbered(2)))) == 2
    assert len(server.requests) <= 6


def test_batch_size_is_taken_and_without_effect(server: FakeServer) -> None:
    with create_pipeline(url=server.url) as pipeline:
        assert len(list(pipeline.predict(numbered(3), batch_size=8))) == 3
        assert len(list(pipeline(numbered(3), threshold=0.3))) == 3
        with pytest.raises(InvalidConfigError, match="batch_size is 0"):
            pipeline.predict(numbered(1), batch_size=0)


# Errors on the way


@pytest.fixture
def mixed(street: Path) -> list[Any]:
    return [str(street), "missing.jpg", b"", str(street), 17, street]


def test_a_bad_item_raises_for_itself(server: FakeServer, mixed: list[Any]) -> None:
    with create_pipeline(url=server.url) as pipeline:
        results = pipeline.predict(mixed)
        assert next(results).input_path == mixed[0]
        with pytest.raises(MissingFileError, match=r"^missing\.jpg: no such file or folder$") as caught:
            next(results)
        assert (caught.value.input_path, caught.value.page_index) == ("missing.jpg", None)
        assert list(results) == [], "a generator that raised has ended"


def test_a_bad_item_is_skipped_and_noted(
    server: FakeServer, mixed: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    with create_pipeline(url=server.url) as pipeline, caplog.at_level(logging.WARNING, "sod_client"):
        assert len(list(pipeline.predict(mixed, on_error="skip"))) == 3
        assert [error.input_path for error in pipeline.errors] == ["missing.jpg", "input[2]", "input[4]"]
        assert caplog.records[0].message == "skipped: missing.jpg: no such file or folder"
        list(pipeline.predict(mixed[:1], on_error="skip"))
        assert not pipeline.errors, "they are the last call's"


def test_a_function_is_told_in_its_turn(server: FakeServer, mixed: list[Any]) -> None:
    told: list[Any] = []
    with create_pipeline(url=server.url) as pipeline:
        for result in pipeline.predict(mixed, on_error=told.append):
            told.append(result)
    assert [isinstance(each, SodError) for each in told] == [False, True, True, False, True, False]


def test_a_refused_image_can_be_skipped_but_not_a_dead_server(server: FakeServer, nowhere: str) -> None:
    refusal = {"logId": "7", "errorCode": 422, "errorMsg": "not an image"}
    server.answers(422, refusal)
    with create_pipeline(url=server.url) as pipeline:
        assert list(pipeline.predict(numbered(3), on_error="skip")) == []
        assert [type(error) for error in pipeline.errors] == [ServerError] * 3
        assert str(pipeline.errors[1]).startswith("http://example.com/1.jpg: the server answered 422: not an image")
    server.answers(200, b"<html>")
    with create_pipeline(url=server.url) as pipeline, pytest.raises(BadReplyError):
        list(pipeline.predict(numbered(3), on_error="skip"))
    with create_pipeline(url=nowhere, retries=0) as pipeline, pytest.raises(ConnectionFailedError):
        list(pipeline.predict(numbered(3), on_error="skip"))


def test_what_the_source_raises_comes_after_what_it_gave(server: FakeServer) -> None:
    def source() -> Iterator[str]:
        yield from numbered(2)
        raise KeyError("mine")

    with create_pipeline(url=server.url) as pipeline:
        for on_error in ("raise", "skip"):
            results = pipeline.predict(source(), on_error=on_error)  # type: ignore[arg-type]
            assert [next(results).input_path for _ in range(2)] == numbered(2)
            with pytest.raises(KeyError, match="mine"):
                next(results)


@pytest.mark.parametrize("on_error", ["ignore", None, 3])
def test_on_error_is_checked(server: FakeServer, on_error: Any) -> None:
    with create_pipeline(url=server.url) as pipeline, pytest.raises(InvalidConfigError, match="on_error is 'raise'"):
        pipeline.predict(numbered(1), on_error=on_error)


# Retries


@pytest.mark.parametrize("status", [503, 429])
def test_an_overloaded_server_is_asked_again(server: FakeServer, status: int) -> None:
    refused: list[str] = []

    def reply(body: Any) -> Reply:
        if refused.count(body["image"]) < 2:
            refused.append(body["image"])
            return status, b"{}", {"Retry-After": "0"}
        return answer()

    server.reply = reply
    with create_pipeline(url=server.url, retries=2) as pipeline:
        assert [result.input_path for result in pipeline.predict(numbered(5))] == numbered(5)
    assert len(server.requests) == 15


def test_in_the_end_it_raises(server: FakeServer) -> None:
    server.answers(503, BUSY)
    with create_pipeline(url=server.url, retries=2) as pipeline:
        with pytest.raises(ServerBusyError, match=r"the server answered 503: full \(logId 7\)") as caught:
            next(pipeline.predict(jpeg(), on_error="skip"))
        assert caught.value.status == 503
        assert len(server.requests) == 3
        with pytest.raises(ServerBusyError):
            pipeline.models()


@pytest.mark.parametrize("status", [400, 422, 500, 502, 504])
def test_other_errors_are_not_tried_again(server: FakeServer, status: int) -> None:
    server.answers(status, {**BUSY, "errorCode": status})
    with create_pipeline(url=server.url) as pipeline, pytest.raises(ServerError):
        next(pipeline.predict(jpeg()))
    assert len(server.requests) == 1


def test_a_broken_connection_is_tried_again(server: FakeServer) -> None:
    replies = iter([(0, b""), (0, b"")])
    server.reply = lambda _: next(replies, answer())
    with create_pipeline(url=server.url) as pipeline:
        assert next(pipeline.predict(jpeg())).log_id == "7"
    assert len(server.requests) == 3


def test_a_server_that_comes_back_is_found(nowhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    returned: list[FakeServer] = []

    def come_back(seconds: float) -> None:
        assert seconds > 0
        if not returned:
            returned.append(FakeServer(int(nowhere.rsplit(":", 1)[1])))
            returned[0].answers(200, SUCCESS)

    with create_pipeline(url=nowhere) as pipeline:
        monkeypatch.setattr(pipeline._core._transport._retry._closed, "wait", come_back)  # type: ignore[union-attr]
        assert next(pipeline.predict(jpeg())).boxes
    returned[0].close()


class Pauses:
    """What a Retry waits, without waiting."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waited: list[float] = []
        monkeypatch.setattr("sod_client._transport.retry.FIRST_PAUSE_S", 0.5)
        self._monkeypatch = monkeypatch

    def run(self, retries: int, after: Callable[[int], float | None]) -> None:
        from sod_client._transport.retry import Retry, TryAgainError

        retry = Retry(retries)
        self._monkeypatch.setattr(retry._closed, "wait", self.waited.append)

        def call() -> None:
            raise TryAgainError(SodError("no"), after(len(self.waited)))

        with pytest.raises(SodError, match="no"):
            retry.run(call)


def test_pauses_double_and_are_not_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = Pauses(monkeypatch)
    pauses.run(4, lambda _: None)
    assert len(pauses.waited) == 4
    for attempt, waited in enumerate(pauses.waited):
        assert 0.25 * 2**attempt <= waited <= 0.5 * 2**attempt


def test_what_retry_after_says_is_waited_for_up_to_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = Pauses(monkeypatch)
    pauses.run(3, lambda attempt: [7.0, 0.0, 61.0, 1.0][attempt])
    assert pauses.waited[0] == 7.0
    assert pauses.waited[1] < 7.0
    assert len(pauses.waited) == 2


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        (None, None, None),
        ("", None, None),
        ("soon", None, None),
        ("3", 3, 3),
        ("1.5", 1.5, 1.5),
        ("-3", 0, 0),
        (formatdate(time.time() + 3000, usegmt=True), 2000, 3001),
        (formatdate(0, usegmt=True), 0, 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, low: Any, high: Any) -> None:
    from sod_client._transport.retry import seconds_of

    seconds = seconds_of(header)
    assert seconds is None if low is None else low <= seconds <= high  # type: ignore[operator]


def test_closing_ends_a_pause(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sod_client._transport.retry.FIRST_PAUSE_S", 50.0)
    server.answers(503, BUSY)
    pipeline = create_pipeline(url=server.url)
    errors: list[BaseException] = []

    def ask() -> None:
        with pytest.raises(ConnectionFailedError, match="closed") as caught:
            next(pipeline.predict(jpeg()))
        errors.append(caught.value)

    thread = threading.Thread(target=ask)
    thread.start()
    until = time.monotonic() + 30
    while not server.requests and time.monotonic() < until:
        time.sleep(0.01)
    pipeline.close()
    thread.join(30)
    assert not thread.is_alive()
    assert errors


@pytest.mark.parametrize(
    "settings", [{"retries": -1}, {"retries": 1.5}, {"timeout": 0}, {"timeout": float("nan")}, {"max_in_flight": 0}]
)
def test_settings_are_checked(server: FakeServer, settings: Any) -> None:
    with pytest.raises(InvalidConfigError, match=next(iter(settings))):
        create_pipeline(url=server.url, **settings)


# The asynchronous twin


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
    import asyncio

    hold, arrived = threading.Event(), threading.Event()

    def reply(_: Any) -> Reply:
        arrived.set()
        hold.wait(30)
        return answer()

    server.reply = reply
    with warnings.catch_warnings():
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
