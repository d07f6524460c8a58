import base64
import gc
import json
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sod_client import (
    BadReplyError,
    ConnectionFailedError,
    InvalidInputError,
    NoImageError,
    Pipeline,
    Result,
    ServerError,
    SodError,
    create_pipeline,
)

PICTURE = b"\xff\xd8 a picture"
OVERLAY = b"\xff\xd8 the same with boxes"
SUCCESS: dict[str, Any] = {
    "logId": "0b7e",
    "errorCode": 0,
    "errorMsg": "Success",
    "result": {
        "detectedObjects": [
            {"bbox": [203.6, 701.4, 224.2, 743.8], "categoryId": 0, "categoryName": "pedestrian", "score": 0.8183},
            {"bbox": [1, 2, 3, 4], "categoryId": 3, "categoryName": "车", "score": 0.5},
        ],
        "image": base64.b64encode(OVERLAY).decode(),
    },
}
BOXES = [
    {"cls_id": 0, "label": "pedestrian", "score": 0.8183, "coordinate": [203.6, 701.4, 224.2, 743.8]},
    {"cls_id": 3, "label": "车", "score": 0.5, "coordinate": [1.0, 2.0, 3.0, 4.0]},
]


@pytest.fixture
def pipeline(server: Any) -> Iterator[Pipeline]:
    server.answers(200, SUCCESS)
    with create_pipeline(url=server.url + "/") as made:
        yield made


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "street.v2.jpg"
    path.write_bytes(PICTURE)
    return path


def without_image(**changes: Any) -> dict[str, Any]:
    result = {key: value for key, value in SUCCESS["result"].items() if key != "image"}
    return {**SUCCESS, "result": {**result, **changes}}


# The request


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_is_sent_as_base64(pipeline: Pipeline, server: Any, picture: Path, kind: Any) -> None:
    (result,) = pipeline.predict(input=kind(picture))
    encoded = base64.b64encode(PICTURE).decode()
    assert server.requests == [
        ("/small-object-detection", {"image": encoded, "threshold": None, "visualize": None}),
    ]
    assert result.input_path == str(picture)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_have_no_path(pipeline: Pipeline, server: Any, kind: Any) -> None:
    (result,) = pipeline.predict(kind(PICTURE))
    assert base64.b64decode(server.requests[0][1]["image"]) == PICTURE
    assert result.input_path is None


@pytest.mark.parametrize("url", ["http://example.com/a.jpg", "HTTPS://example.com/a.jpg"])
def test_a_url_is_left_to_the_server(pipeline: Pipeline, server: Any, url: str) -> None:
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
    next(pipeline.predict(PICTURE, threshold))
    assert server.requests[0][1]["threshold"] == sent


@pytest.mark.parametrize("threshold", ["0.5", True, float("nan"), float("inf"), {"0": 0.5}, {0: None}, {True: 0.5}])
def test_a_threshold_that_is_none_is_refused_at_once(pipeline: Pipeline, server: Any, threshold: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"threshold|class id"):
        pipeline.predict(PICTURE, threshold)
    assert not server.requests


@pytest.mark.parametrize("visualize", [True, False, None])
def test_visualize_is_passed_on(pipeline: Pipeline, server: Any, visualize: bool | None) -> None:
    next(pipeline.predict(PICTURE, visualize=visualize))
    assert server.requests[0][1]["visualize"] is visualize


@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_pictures_are_sent_one_by_one_as_results_are_asked_for(
    pipeline: Pipeline, server: Any, picture: Path, kind: Any
) -> None:
    results = pipeline.predict(kind([picture, PICTURE, "http://example.com/a.jpg"]))
    assert not server.requests
    assert next(results).input_path == str(picture)
    assert len(server.requests) == 1
    assert [result.input_path for result in results] == [None, "http://example.com/a.jpg"]


@pytest.mark.parametrize(
    ("unreadable", "reason"),
    [
        ("no such file.jpg", "No such file"),
        (".", "directory"),
        ("a\0b", "null byte"),
        (b"", "empty"),
        (17, "not int"),
        ([17], "not int"),
    ],
)
def test_what_cannot_be_read_is_not_sent(pipeline: Pipeline, server: Any, unreadable: Any, reason: str) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        list(pipeline.predict(unreadable))
    assert not server.requests


def test_an_empty_file_is_not_sent(pipeline: Pipeline, server: Any, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(InvalidInputError, match=r"empty\.jpg' is empty"):
        next(pipeline.predict(tmp_path / "empty.jpg"))
    assert not server.requests


# The server's address


def test_the_environment_names_the_server(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOD_URL", server.url)
    with create_pipeline() as pipeline:
        assert pipeline.url == server.url
    with create_pipeline(url="https://sod.example:8443/base/") as pipeline:
        assert pipeline.url == "https://sod.example:8443/base"
    monkeypatch.delenv("SOD_URL")
    with create_pipeline("small_object_detection") as pipeline:
        assert pipeline.url == "http://127.0.0.1:8080"


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "localhost:8080", "ftp://host", "http://", "http://a:b"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError, match="URL"):
        create_pipeline(url=url)


def test_another_task_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="small_object_detection"):
        create_pipeline("OCR")


def test_a_proxy_is_not_asked_for_this_machine(server: Any, nowhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers(200, SUCCESS)
    monkeypatch.setenv("HTTP_PROXY", nowhere)
    monkeypatch.setenv("http_proxy", nowhere)
    with create_pipeline(url=server.url) as here:
        assert len(list(here.predict(PICTURE))) == 1
    with create_pipeline(url="http://sod.example") as elsewhere, pytest.raises(ConnectionFailedError):
        next(elsewhere.predict(PICTURE))


def test_a_forgotten_pipeline_closes_its_connections(server: Any) -> None:
    server.answers(200, SUCCESS)
    pipeline = create_pipeline(url=server.url)
    next(pipeline.predict(PICTURE))
    client = pipeline._client
    del pipeline
    gc.collect()
    assert client.is_closed


# The result


def test_a_result_has_paddlex_fields(pipeline: Pipeline, picture: Path) -> None:
    (result,) = pipeline.predict(picture)
    assert result.boxes == BOXES
    assert result["boxes"] == BOXES
    assert result.json == {"res": {"input_path": str(picture), "page_index": None, "boxes": BOXES}}
    assert result.image == OVERLAY
    assert result.log_id == "0b7e"


def test_print_writes_one_line_of_python_or_json(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    (result,) = pipeline.predict(PICTURE)
    result.print()
    assert capsys.readouterr().out == f"{result.json}\n"
    result.print(json_format=True)
    printed = capsys.readouterr().out
    assert json.loads(printed) == result.json
    assert "车" in printed
    assert printed.count("\n") > 5


def test_saving_in_a_folder_takes_the_name_of_the_input(pipeline: Pipeline, picture: Path, tmp_path: Path) -> None:
    (result,) = pipeline.predict(picture)
    folder = tmp_path / "made" / "as needed"
    assert result.save_to_json(str(folder)) == folder / "street.v2_res.json"
    assert result.save_to_img(folder) == folder / "street.v2_res.jpg"
    saved = (folder / "street.v2_res.json").read_text("utf-8")
    assert json.loads(saved) == result.json["res"]
    assert "车" in saved
    assert (folder / "street.v2_res.jpg").read_bytes() == OVERLAY


def test_saving_to_a_file_takes_its_name(pipeline: Pipeline, tmp_path: Path) -> None:
    (result,) = pipeline.predict(PICTURE)
    assert result.save_to_json(tmp_path / "a" / "x.json") == tmp_path / "a" / "x.json"
    assert result.save_to_img(tmp_path / "a" / "x.JPEG") == tmp_path / "a" / "x.JPEG"
    (tmp_path / "folder.json").mkdir()
    assert result.save_to_json(tmp_path / "folder.json").parent == tmp_path / "folder.json"


@pytest.mark.parametrize(
    ("input_path", "log_id", "stem"),
    [
        ("https://example.com/a%20b/c%2F..%2Fpic%20one.png?x=/y.jpg#z", None, "pic_one"),
        ("https://example.com/", "0b7e", "0b7e"),
        ("https://example.com/" + "n" * 300 + ".jpg", None, "n" * 100),
        (None, "0b7e", "0b7e"),
        (None, "../../etc", "_.._etc"),
        (None, None, "image"),
    ],
)
def test_a_name_from_elsewhere_cannot_leave_the_folder(
    input_path: str | None, log_id: str | None, stem: str, tmp_path: Path
) -> None:
    saved = Result(input_path, [], log_id=log_id).save_to_json(tmp_path)
    assert saved == tmp_path / f"{stem}_res.json"
    assert saved.is_file()


def test_no_picture_to_save(pipeline: Pipeline, server: Any, tmp_path: Path) -> None:
    for reply in (without_image(), without_image(image=None)):
        server.answers(200, reply)
        (result,) = pipeline.predict(PICTURE, visualize=False)
        assert result.image is None
        with pytest.raises(NoImageError, match="visualize=True"):
            result.save_to_img(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_overlay_is_no_png(pipeline: Pipeline, tmp_path: Path) -> None:
    (result,) = pipeline.predict(PICTURE)
    with pytest.raises(InvalidInputError, match=r"\.jpg"):
        result.save_to_img(tmp_path / "x.png")


# Errors


def test_a_server_error_carries_the_reply(pipeline: Pipeline, server: Any) -> None:
    server.answers(415, {"logId": "77", "errorCode": 415, "errorMsg": "not a picture"})
    with pytest.raises(ServerError) as caught:
        next(pipeline.predict(PICTURE))
    error = caught.value
    assert (error.status, error.error_code, error.error_msg, error.log_id) == (415, 415, "not a picture", "77")
    assert str(error) == "the server answered 415: not a picture (logId 77)"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_an_error_code_in_a_200_is_an_error(pipeline: Pipeline, server: Any) -> None:
    server.answers(200, {**SUCCESS, "errorCode": 12, "errorMsg": "odd"})
    with pytest.raises(ServerError, match="odd") as caught:
        next(pipeline.predict(PICTURE))
    assert (caught.value.status, caught.value.error_code) == (200, 12)


def test_a_422_reads_as_a_sentence(pipeline: Pipeline, server: Any) -> None:
    findings = [{"type": "missing", "loc": "body.image", "msg": "Field required"}]
    server.answers(422, {"logId": "7", "errorCode": 422, "errorMsg": json.dumps(findings)})
    with pytest.raises(ServerError, match=r"answered 422: body\.image: Field required \(logId 7\)") as caught:
        next(pipeline.predict(PICTURE))
    assert json.loads(caught.value.error_msg) == findings


@pytest.mark.parametrize("message", ["17", "null", "[]", '["a"]', '[{"loc": 1}]', "{}", "plain"])
def test_an_odd_message_stays_as_it_is(message: str) -> None:
    assert str(ServerError(422, 422, message)) == f"the server answered 422: {message}"


@pytest.mark.parametrize("content", [b"<h1>502 Bad Gateway</h1>", b"[]", b'{"detail": "down"}', b""])
def test_an_error_of_something_else_is_a_server_error(pipeline: Pipeline, server: Any, content: bytes) -> None:
    server.answers(502, content)
    with pytest.raises(ServerError, match=r"answered 502: .+") as caught:
        next(pipeline.predict(PICTURE))
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
def test_a_200_out_of_the_contract_is_a_bad_reply(pipeline: Pipeline, server: Any, reply: Any) -> None:
    server.answers(200, reply)
    with pytest.raises(BadReplyError, match="not as triton-sod does"):
        next(pipeline.predict(PICTURE))


def test_a_redirect_is_a_bad_reply(pipeline: Pipeline, server: Any) -> None:
    server.answers(302, b"")
    with pytest.raises(BadReplyError, match="answered 302"):
        next(pipeline.predict(PICTURE))


def test_no_server(nowhere: str) -> None:
    with create_pipeline(url=nowhere) as pipeline, pytest.raises(ConnectionFailedError, match="cannot reach"):
        next(pipeline.predict(PICTURE))


def test_a_server_that_hangs_up(pipeline: Pipeline, server: Any) -> None:
    server.reply = lambda _: (0, b"")
    with pytest.raises(ConnectionFailedError, match="cannot reach"):
        next(pipeline.predict(PICTURE))


def test_a_server_that_says_nothing_in_time(server: Any) -> None:
    release = threading.Event()

    def wait(_: Any) -> tuple[int, bytes]:
        release.wait(10)
        return 0, b""

    server.reply = wait
    with create_pipeline(url=server.url, timeout=0.05) as pipeline:
        with pytest.raises(ConnectionFailedError, match="in time"):
            next(pipeline.predict(PICTURE))
        release.set()


def test_one_except_catches_all() -> None:
    for error in (BadReplyError, ConnectionFailedError, InvalidInputError, NoImageError, ServerError):
        assert issubclass(error, SodError)
