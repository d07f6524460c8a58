"""Calls of `predict` in which an image, the input or the server fails."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from sod_client import (
    BadReplyError,
    ConnectionFailedError,
    InvalidConfigError,
    MissingFileError,
    ServerError,
    SodError,
    create_pipeline,
)

from tests.clients.conftest import FakeServer, numbered


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
        assert not pipeline.errors, "errors has those of the last call only"


def test_a_function_receives_each_error_in_order(server: FakeServer, mixed: list[Any]) -> None:
    told: list[Any] = []
    with create_pipeline(url=server.url) as pipeline:
        for result in pipeline.predict(mixed, on_error=told.append):
            told.append(result)
    assert [isinstance(each, SodError) for each in told] == [False, True, True, False, True, False]


def test_a_refused_image_can_be_skipped_but_not_a_dead_server(server: FakeServer, nowhere: str) -> None:
    refusal = {"logId": "7", "errorCode": 422, "errorMsg": "not an image"}
    server.respond_with(422, refusal)
    with create_pipeline(url=server.url) as pipeline:
        assert list(pipeline.predict(numbered(3), on_error="skip")) == []
        assert [type(error) for error in pipeline.errors] == [ServerError] * 3
        assert str(pipeline.errors[1]).startswith("http://example.com/1.jpg: the server answered 422: not an image")
    server.respond_with(200, b"<html>")
    with create_pipeline(url=server.url) as pipeline, pytest.raises(BadReplyError):
        list(pipeline.predict(numbered(3), on_error="skip"))
    with create_pipeline(url=nowhere, retries=0) as pipeline, pytest.raises(ConnectionFailedError):
        list(pipeline.predict(numbered(3), on_error="skip"))


def test_an_error_of_the_source_is_raised_after_the_results_before_it(server: FakeServer) -> None:
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
    with (
        create_pipeline(url=server.url) as pipeline,
        pytest.raises(InvalidConfigError, match="on_error must be 'raise', 'skip' or"),
    ):
        pipeline.predict(numbered(1), on_error=on_error)
