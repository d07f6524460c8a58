"""Retries, and the pauses before them."""

import socket
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest
from sod_client import (
    ConnectionFailedError,
    InvalidConfigError,
    Result,
    ServerBusyError,
    ServerError,
    SodError,
    create_pipeline,
)
from sod_client._transport.retry import RetryableError, RetryPolicy, parse_retry_after

from tests.clients.conftest import SUCCESS, FakeServer, Reply, jpeg, numbered, success

BUSY = {"logId": "7", "errorCode": 503, "errorMsg": "full"}


@pytest.mark.parametrize("status", [503, 429])
def test_a_request_to_an_overloaded_server_is_repeated(server: FakeServer, status: int) -> None:
    refused: list[str] = []

    def reply(body: Any) -> Reply:
        if refused.count(body["image"]) < 2:
            refused.append(body["image"])
            return status, b"{}", {"Retry-After": "0"}
        return success()

    server.reply = reply
    with create_pipeline(url=server.url, retries=2) as pipeline:
        assert [result.input_path for result in pipeline.predict(numbered(5))] == numbered(5)
    assert len(server.requests) == 15


def test_the_last_error_is_raised(server: FakeServer) -> None:
    server.respond_with(503, BUSY)
    with create_pipeline(url=server.url, retries=2) as pipeline:
        with pytest.raises(ServerBusyError, match=r"the server answered 503: full \(logId 7\)") as caught:
            next(pipeline.predict(jpeg(), on_error="skip"))
        assert caught.value.status == 503
        assert len(server.requests) == 3
        with pytest.raises(ServerBusyError):
            pipeline.models()


@pytest.mark.parametrize("status", [400, 422, 500, 502, 504])
def test_other_errors_are_not_tried_again(server: FakeServer, status: int) -> None:
    server.respond_with(status, {**BUSY, "errorCode": status})
    with create_pipeline(url=server.url) as pipeline, pytest.raises(ServerError):
        next(pipeline.predict(jpeg()))
    assert len(server.requests) == 1


def test_a_broken_connection_is_tried_again(server: FakeServer) -> None:
    replies = iter([(0, b""), (0, b"")])
    server.reply = lambda _: next(replies, success())
    with create_pipeline(url=server.url) as pipeline:
        assert next(pipeline.predict(jpeg())).log_id == "7"
    assert len(server.requests) == 3


def test_a_server_that_comes_back_is_found() -> None:
    results: list[Result] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        pipeline = create_pipeline(url=f"http://127.0.0.1:{port}", retries=14)  # up to 16 s, with the tests' pauses
        thread = threading.Thread(target=lambda: results.extend(pipeline.predict(jpeg())))
        thread.start()
        connection, _ = listener.accept()
        connection.close()  # the first attempt fails
    returned = FakeServer(port)
    returned.respond_with(200, SUCCESS)
    thread.join(60)
    assert len(results) == 1
    pipeline.close()
    returned.close()


def pauses(retries: int, retry_after_s: Callable[[int], float | None]) -> list[float]:
    """The pauses before each attempt, if all attempts fail."""
    waited: list[float] = []
    policy = RetryPolicy(retries, first_pause_s=0.5, wait=waited.append)

    def fail() -> None:
        raise RetryableError(SodError("no"), retry_after_s(len(waited)))

    with pytest.raises(SodError, match="no"):
        policy.run(fail)
    return waited


def test_pauses_double_and_are_not_all_the_same() -> None:
    waited = pauses(4, lambda _: None)
    assert len(waited) == 4
    for attempt, pause in enumerate(waited):
        assert 0.25 * 2**attempt <= pause <= 0.5 * 2**attempt
    assert len({pauses(1, lambda _: None)[0] for _ in range(10)}) > 1


def test_retry_after_is_respected_up_to_a_minute() -> None:
    waited = pauses(3, lambda attempt: [7.0, 0.0, 61.0, 1.0][attempt])
    assert waited[0] == 7.0
    assert waited[1] < 7.0
    assert len(waited) == 2


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        (None, None, None),
        ("", None, None),
        ("soon", None, None),
        ("3", 3, 3),
        ("1.5", 1.5, 1.5),
        ("-3", 0, 0),
        (formatdate(0, usegmt=True), 0, 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, low: Any, high: Any) -> None:
    seconds = parse_retry_after(header)
    assert seconds is None if low is None else low <= seconds <= high  # type: ignore[operator]


def test_retry_after_a_date_is_the_time_until_then() -> None:
    seconds = parse_retry_after(formatdate(time.time() + 3000, usegmt=True))
    assert seconds is not None
    assert 2900 <= seconds <= 3001


def test_closing_ends_a_pause(server: FakeServer) -> None:
    server.respond_with(503, BUSY, {"Retry-After": "50"})
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
