"""Requests and responses over HTTP."""

import base64
import gc
import json
import pickle
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sod_client import (
    AuthenticationError,
    BadReplyError,
    ConnectionFailedError,
    InvalidConfigError,
    InvalidThresholdError,
    Pipeline,
    ServerError,
    SodError,
    create_pipeline,
    errors,
)

from tests.clients.conftest import SUCCESS, jpeg, without_image

IMAGE = jpeg()


@pytest.fixture
def pipeline(server: Any) -> Iterator[Pipeline]:
    server.respond_with(200, SUCCESS)
    with create_pipeline(url=server.url + "/") as made:
        yield made


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "street.v2.jpg"
    path.write_bytes(IMAGE)
    return path


# The request


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_is_sent_as_base64(pipeline: Pipeline, server: Any, image: Path, kind: Any) -> None:
    (result,) = pipeline.predict(input=kind(image))
    encoded = base64.b64encode(IMAGE).decode()
    assert server.requests == [
        ("/small-object-detection", {"image": encoded, "threshold": None, "visualize": None}),
    ]
    assert result.input_path == str(image)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_have_no_path(pipeline: Pipeline, server: Any, kind: Any) -> None:
    (result,) = pipeline.predict(kind(IMAGE))
    assert base64.b64decode(server.requests[0][1]["image"]) == IMAGE
    assert result.input_path is None


@pytest.mark.parametrize("url", ["http://example.com/a.jpg", "HTTPS://example.com/a.jpg"])
def test_the_server_fetches_urls(pipeline: Pipeline, server: Any, url: str) -> None:
    (result,) = pipeline.predict(url)
    assert server.requests[0][1]["image"] == url
    assert result.input_path == url


@pytest.mark.parametrize(
    ("threshold", "sent"),
    [
        (0.5, 0.5),
        (0, 0.0),
        (np.float32(0.25), 0.25),
        ({0: 0.5, 1: 0.35}, {"0": 0.5, "1": 0.35}),
        ({np.int32(3): 1}, {"3": 1.0}),
        ({}, {}),
        (None, None),
    ],
)
def test_a_threshold_is_a_number_or_one_by_class(pipeline: Pipeline, server: Any, threshold: Any, sent: Any) -> None:
    next(pipeline.predict(IMAGE, threshold))
    assert server.requests[0][1]["threshold"] == sent


_NOT_A_SCORE = "must be a number from 0 to 1, not "
_NOT_A_CLASS = "the class of a threshold must be an integer from 0 or a label, not "


@pytest.mark.parametrize(
    ("threshold", "said"),
    [
        ("0.5", f"the threshold {_NOT_A_SCORE}'0.5'"),
        (True, f"the threshold {_NOT_A_SCORE}True"),
        (float("nan"), f"the threshold {_NOT_A_SCORE}nan"),
        (-0.1, f"the threshold {_NOT_A_SCORE}-0.1"),
        (1.01, f"the threshold {_NOT_A_SCORE}1.01"),
        ({0: 2.0}, f"the threshold of class 0 {_NOT_A_SCORE}2.0"),
        ({0: None}, f"the threshold of class 0 {_NOT_A_SCORE}None"),
        ({"": 0.5}, f"{_NOT_A_CLASS}''"),
        ({True: 0.5}, f"{_NOT_A_CLASS}True"),
        ({-1: 0.5}, f"{_NOT_A_CLASS}-1"),
    ],
)
def test_an_invalid_threshold_is_refused_at_once(pipeline: Pipeline, server: Any, threshold: Any, said: str) -> None:
    with pytest.raises(InvalidThresholdError, match=f"^{said}$"):
        pipeline.predict(IMAGE, threshold)
    assert not server.requests


@pytest.mark.parametrize("visualize", [True, False, None])
def test_visualize_is_passed_on(pipeline: Pipeline, server: Any, visualize: bool | None) -> None:
    next(pipeline.predict(IMAGE, visualize=visualize))
    assert server.requests[0][1]["visualize"] is visualize


# The server's address


def test_the_environment_names_the_server(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOD_URL", server.url)
    with create_pipeline() as pipeline:
        assert pipeline.url == server.url
    with create_pipeline(url="https://sod.example:8443/base/") as pipeline:
        assert pipeline.url == "https://sod.example:8443/base"


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "localhost:8080", "ftp://host", "http://", "http://a:b", ""])
def test_an_invalid_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidConfigError, match="URL"):
        create_pipeline(url=url)


def test_a_proxy_is_not_asked_for_this_machine(server: Any, nowhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server.respond_with(200, SUCCESS)
    monkeypatch.setenv("HTTP_PROXY", nowhere)
    monkeypatch.setenv("http_proxy", nowhere)
    with create_pipeline(url=server.url) as here:
        assert len(list(here.predict(IMAGE))) == 1
    with create_pipeline(url="http://sod.example") as elsewhere, pytest.raises(ConnectionFailedError):
        next(elsewhere.predict(IMAGE))


def test_a_pipeline_without_references_closes_its_connections(server: Any) -> None:
    server.respond_with(200, SUCCESS)
    pipeline = create_pipeline(url=server.url)
    next(pipeline.predict(IMAGE))
    assert server.open_connections == 1
    del pipeline
    gc.collect()
    until = time.monotonic() + 30
    while server.open_connections and time.monotonic() < until:
        time.sleep(0.01)
    assert server.open_connections == 0


def test_a_pipeline_exists_as_long_as_its_results_are_requested(server: Any) -> None:
    results = create_pipeline(url=server.url, max_in_flight=1).predict([IMAGE] * 5)
    next(results)
    gc.collect()
    assert len(list(results)) == 4


def test_a_closed_pipeline_says_so(server: Any) -> None:
    with create_pipeline(url=server.url) as pipeline:
        results = pipeline.predict([IMAGE] * 50)
        next(results)
    with pytest.raises(ConnectionFailedError, match="closed"):
        list(results)
    with pytest.raises(ConnectionFailedError, match="closed"):
        next(pipeline.predict(IMAGE))


# Errors


def test_a_server_error_carries_the_reply(pipeline: Pipeline, server: Any) -> None:
    server.respond_with(415, {"logId": "77", "errorCode": 415, "errorMsg": "not an image"})
    with pytest.raises(ServerError) as caught:
        next(pipeline.predict(IMAGE))
    error = caught.value
    assert (error.status, error.error_code, error.error_msg, error.log_id) == (415, 415, "not an image", "77")
    assert str(error) == "input[0]: the server answered 415: not an image (logId 77)"
    assert error.sentence == "the server answered 415: not an image (logId 77)"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_an_error_code_in_a_200_is_an_error(pipeline: Pipeline, server: Any) -> None:
    server.respond_with(200, {**SUCCESS, "errorCode": 12, "errorMsg": "odd"})
    with pytest.raises(ServerError, match="odd") as caught:
        next(pipeline.predict(IMAGE))
    assert (caught.value.status, caught.value.error_code) == (200, 12)


def test_a_422_reads_as_a_sentence(pipeline: Pipeline, server: Any) -> None:
    findings = [{"type": "missing", "loc": "body.image", "msg": "Field required"}]
    server.respond_with(422, {"logId": "7", "errorCode": 422, "errorMsg": json.dumps(findings)})
    with pytest.raises(ServerError, match=r"answered 422: body\.image: Field required \(logId 7\)") as caught:
        next(pipeline.predict(IMAGE))
    assert json.loads(caught.value.error_msg) == findings


@pytest.mark.parametrize("message", ["17", "null", "[]", '["a"]', '[{"loc": 1}]', "{}", "plain"])
def test_an_odd_message_stays_as_it_is(message: str) -> None:
    assert str(ServerError(422, 422, message)) == f"the server answered 422: {message}"


@pytest.mark.parametrize("content", [b"<h1>502 Bad Gateway</h1>", b"[]", b'{"detail": "down"}', b""])
def test_an_error_in_another_format_is_a_server_error(pipeline: Pipeline, server: Any, content: bytes) -> None:
    server.respond_with(502, content)
    with pytest.raises(ServerError, match=r"answered 502: .+") as caught:
        next(pipeline.predict(IMAGE))
    assert caught.value.log_id is None


@pytest.mark.parametrize(
    "reply",
    [
        b"<html>hello</html>",
        b"\xff\xfe\x00",
        [],
        {"errorCode": 0},
        without_image(detectedObjects=[{"bbox": [1, 2, 3], "categoryId": 0, "categoryName": "a", "score": 1}]),
        without_image(detectedObjects=[{"bbox": [1, 2, 3, 4], "categoryId": 0, "categoryName": "a", "score": "x"}]),
        without_image(detectedObjects=[{"bbox": [1, 2, 3, 4], "categoryId": 0, "score": 1}]),
        without_image(detectedObjects=None),
        b'{"errorCode": 0, "result": {"detectedObjects": [{"bbox": [1, 2, 3, 4], "score": 1, "categoryId": 1e999}]}}',
        without_image(
            detectedObjects=[{"bbox": [1, 2, 3, float("nan")], "categoryId": 0, "categoryName": "", "score": 1}]
        ),
        without_image(image="%%%"),
        without_image(image=7),
    ],
)
def test_a_200_in_a_wrong_format_is_a_bad_reply(pipeline: Pipeline, server: Any, reply: Any) -> None:
    server.respond_with(200, reply)
    with pytest.raises(BadReplyError, match="answered 200, but not in the format of triton-sod"):
        next(pipeline.predict(IMAGE))


def test_a_redirect_is_a_bad_reply(pipeline: Pipeline, server: Any) -> None:
    server.respond_with(302, b"")
    with pytest.raises(BadReplyError, match="answered 302"):
        next(pipeline.predict(IMAGE))


def test_no_server(nowhere: str) -> None:
    with create_pipeline(url=nowhere) as pipeline, pytest.raises(ConnectionFailedError, match="cannot reach"):
        next(pipeline.predict(IMAGE))


def test_a_wrong_api_key_is_its_own_error(server: Any) -> None:
    server.respond_with(401, {"logId": "7", "errorCode": 401, "errorMsg": "no such key"})
    with (
        create_pipeline(url=server.url, api_key="wrong") as pipeline,
        pytest.raises(AuthenticationError, match="no such key"),
    ):
        list(pipeline.predict([IMAGE] * 3, on_error="skip"))
    assert server.headers[0]["Authorization"] == "Bearer wrong"


@pytest.mark.parametrize("key", ["schlüssel", "a\nb"])
def test_an_api_key_that_no_header_can_hold(server: Any, key: str) -> None:
    with pytest.raises(InvalidConfigError, match="the API key has characters") as caught:
        create_pipeline(url=server.url, api_key=key)
    assert key not in str(caught.value)


def test_the_environment_has_the_api_key(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with create_pipeline(url=server.url) as pipeline:
        next(pipeline.predict(IMAGE))
    monkeypatch.setenv("SOD_API_KEY", "mine")
    with create_pipeline(url=server.url) as pipeline:
        next(pipeline.predict(IMAGE))
    with create_pipeline(url=server.url, api_key="other") as pipeline:
        next(pipeline.predict(IMAGE))
    assert [headers.get("Authorization") for headers in server.headers] == [None, "Bearer mine", "Bearer other"]


def test_a_server_that_hangs_up(pipeline: Pipeline, server: Any) -> None:
    server.reply = lambda _: (0, b"")
    with pytest.raises(ConnectionFailedError, match="cannot reach"):
        next(pipeline.predict(IMAGE))


def test_a_timeout(server: Any) -> None:
    release = threading.Event()

    def wait(_: Any) -> tuple[int, bytes]:
        release.wait(10)
        return 0, b""

    server.reply = wait
    with create_pipeline(url=server.url, timeout=0.05) as pipeline:
        with pytest.raises(ConnectionFailedError, match="in time"):
            next(pipeline.predict(IMAGE))
        release.set()


def test_one_except_catches_all() -> None:
    kinds = [kind for name, kind in vars(errors).items() if name.endswith("Error") and isinstance(kind, type)]
    assert len(kinds) > 15
    assert all(issubclass(kind, SodError) for kind in kinds)
