"""The wire, row by row, against what PaddleX answers."""

import asyncio
import base64
import json
import logging
import uuid
from collections.abc import AsyncIterator
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

PATH = "/small-object-detection"


def assert_error(response: httpx.Response, status: int) -> str:
    """Check the envelope of an error, and return its message."""
    document = response.json()
    assert response.status_code == status
    assert document.keys() == {"logId", "errorCode", "errorMsg"}
    assert document["errorCode"] == status
    assert document["logId"]
    assert "Traceback" not in response.text
    assert response.headers["content-type"] == "application/json"
    message = document["errorMsg"]
    assert isinstance(message, str)
    return message


def issues(response: httpx.Response) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(assert_error(response, 422))
    assert all(issue.keys() == {"type", "loc", "msg"} for issue in found)
    return found


def scores(response: httpx.Response) -> list[tuple[int, float]]:
    assert response.status_code == 200, response.text
    objects = response.json()["result"]["detectedObjects"]
    return [(one["categoryId"], round(one["score"], 3)) for one in objects]


async def test_success(gateway: httpx.AsyncClient, triton: Any, image: bytes, image64: str) -> None:
    response = await gateway.post(PATH, json={"image": image64})
    document = response.json()
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert document.keys() == {"logId", "errorCode", "errorMsg", "result"}
    assert (document["errorCode"], document["errorMsg"]) == (0, "Success")
    uuid.UUID(document["logId"])
    assert document["result"].keys() == {"detectedObjects", "image"}
    first = document["result"]["detectedObjects"][0]
    assert first == {
        "bbox": [10.5, 10.0, 20.0, 30.0],
        "categoryId": 0,
        "categoryName": "pedestrian",
        "score": pytest.approx(0.9),
    }
    assert scores(response) == [(0, 0.9), (0, 0.6), (3, 0.7)]  # 0.5 is not greater than 0.5
    overlay = cv2.imdecode(np.frombuffer(base64.b64decode(document["result"]["image"]), np.uint8), cv2.IMREAD_COLOR)
    assert overlay is not None
    assert overlay.shape == (80, 100, 3)
    plain = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(overlay.astype(int) - plain).max() > 30  # something is drawn
    assert triton.images == [image]  # the bytes go on as they came


async def test_nothing_found(gateway: httpx.AsyncClient, triton: Any, image64: str) -> None:
    triton.objects = []
    response = await gateway.post(PATH, json={"image": image64})
    assert scores(response) == []
    assert response.json()["result"]["image"]


async def test_padding_of_the_batch_is_no_object(gateway: httpx.AsyncClient, triton: Any, image64: str) -> None:
    triton.padding = 4
    assert len(scores(await gateway.post(PATH, json={"image": image64}))) == 3


@pytest.mark.parametrize("setting", [True, False])
@pytest.mark.parametrize("asked", [True, False, None, "absent"])
async def test_visualize(make_gateway: Any, image64: str, setting: bool, asked: Any) -> None:
    body = {"image": image64} | ({} if asked == "absent" else {"visualize": asked})
    async with make_gateway(visualize=setting) as gateway:
        response = await gateway.post(PATH, json=body)
    assert response.status_code == 200
    assert ("image" in response.json()["result"]) == (asked if isinstance(asked, bool) else setting)


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (None, [(0, 0.9), (0, 0.6), (3, 0.7)]),
        (0.65, [(0, 0.9), (3, 0.7)]),
        ("0.65", [(0, 0.9), (3, 0.7)]),
        (0.5, [(0, 0.9), (0, 0.6), (3, 0.7)]),
        (0, [(0, 0.9), (0, 0.6), (0, 0.5), (3, 0.7), (3, 0.3)]),
        (1, []),
        (True, []),
        ({}, [(0, 0.9), (0, 0.6), (3, 0.7)]),
        ({"3": 0.2}, [(0, 0.9), (0, 0.6), (3, 0.7), (3, 0.3)]),
        ({"0": 0.7, "3": 1}, [(0, 0.9)]),
        ({"9": "0.1"}, [(0, 0.9), (0, 0.6), (3, 0.7)]),
    ],
)
async def test_threshold(gateway: httpx.AsyncClient, image64: str, threshold: Any, expected: Any) -> None:
    body = {"image": image64, "threshold": threshold, "visualize": False}
    assert scores(await gateway.post(PATH, json=body)) == expected


async def test_default_threshold_is_a_setting(make_gateway: Any, image64: str) -> None:
    async with make_gateway(default_threshold=0.65) as gateway:
        for body in ({}, {"threshold": None}, {"threshold": {"3": 0.65}}):
            assert scores(await gateway.post(PATH, json={"image": image64} | body)) == [(0, 0.9), (3, 0.7)]


@pytest.mark.parametrize("threshold", ["-1", "2.5", "1.0001", "NaN", "Infinity", "-Infinity", "1e999", '{"1": 2}'])
async def test_threshold_out_of_range(gateway: httpx.AsyncClient, image64: str, threshold: str) -> None:
    body = f'{{"image": "{image64}", "threshold": {threshold}}}'
    (issue,) = issues(await gateway.post(PATH, content=body))
    assert issue["loc"] == "body.threshold"
    assert "from 0 to 1" in issue["msg"]


@pytest.mark.parametrize("class_id", ["10", "-1", "99999999999999999999"])
async def test_threshold_of_a_class_the_model_has_not(
    gateway: httpx.AsyncClient, triton: Any, image64: str, class_id: str
) -> None:
    (issue,) = issues(await gateway.post(PATH, json={"image": image64, "threshold": {class_id: 0.5}}))
    assert issue["loc"] == "body.threshold"
    assert class_id in issue["msg"]
    assert "0 to 9" in issue["msg"]
    assert triton.images == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{}", [("missing", "body.image", "Field required")]),
        (b"", [("missing", "body", "Field required")]),
        (b"null", [("model_attributes_type", "body", None)]),
        (b'{"image": 3}', [("string_type", "body.image", None)]),
        (b'{"image": null}', [("string_type", "body.image", None)]),
        (b"[1]", [("model_attributes_type", "body", None)]),
        (b'"x"', [("model_attributes_type", "body", None)]),
        (b"{", [("json_invalid", "body[1]", "JSON decode error")]),
        (b"image=abc", [("json_invalid", "body[0]", "JSON decode error")]),
        (b'{"image": "a",}', [("json_invalid", "body[14]", "JSON decode error")]),
        (b'{"a": "\xff"}', [("json_invalid", "body[7]", "JSON decode error")]),
        (b"[" * 20_000, [("json_invalid", "body[0]", "JSON decode error")]),
        (b"1" * 10_000, [("json_invalid", "body[0]", "JSON decode error")]),
        (
            b'{"image": "a", "threshold": "abc"}',
            [
                ("float_parsing", "body.threshold.float", None),
                ("dict_type", "body.threshold.dict[int,float]", None),
            ],
        ),
        (
            b'{"image": "a", "threshold": [0.5]}',
            [("float_type", "body.threshold.float", None), ("dict_type", "body.threshold.dict[int,float]", None)],
        ),
        (
            b'{"image": "a", "threshold": {"car": 0.5}}',
            [
                ("float_type", "body.threshold.float", None),
                ("int_parsing", "body.threshold.dict[int,float].car.[key]", None),
            ],
        ),
        (b'{"image": "a", "visualize": "perhaps"}', [("bool_parsing", "body.visualize", None)]),
        (b'{"image": "a", "logId": true}', [("string_type", "body.logId", None)]),
        (b'{"image": "a", "logId": 0.5}', [("string_type", "body.logId", None)]),
        (b'{"image": "a", "logId": 1%s}' % (b"0" * 30), [("string_type", "body.logId", None)]),
    ],
)
async def test_validation_errors(gateway: httpx.AsyncClient, body: bytes, expected: Any) -> None:
    found = issues(await gateway.post(PATH, content=body, headers={"content-type": "application/json"}))
    assert [(issue["type"], issue["loc"]) for issue in found] == [(kind, loc) for kind, loc, _ in expected]
    stated = {loc: message for _, loc, message in expected if message is not None}
    assert {issue["loc"]: issue["msg"] for issue in found if issue["loc"] in stated} == stated


@pytest.mark.parametrize(
    "headers",
    [{}, {"content-type": "application/x-www-form-urlencoded"}, {"content-type": "text/plain; charset=latin-1"}],
)
async def test_any_content_type_is_read_as_json(
    gateway: httpx.AsyncClient, image64: str, headers: dict[str, str]
) -> None:
    response = await gateway.post(PATH, content=json.dumps({"image": image64}).encode(), headers=headers)
    assert response.status_code == 200


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
async def test_other_unicode_encodings(gateway: httpx.AsyncClient, image64: str, encoding: str) -> None:
    body = json.dumps({"image": image64, "logId": "é"}, ensure_ascii=False).encode(encoding)
    response = await gateway.post(PATH, content=body)
    assert response.status_code == 200
    assert response.json()["logId"] == "é"


async def test_unknown_fields_are_ignored(gateway: httpx.AsyncClient, image64: str) -> None:
    response = await gateway.post(PATH, json={"image": image64, "iou": 0.3, "result": {}})
    assert response.status_code == 200


async def test_compressed_body(gateway: httpx.AsyncClient, image64: str) -> None:
    response = await gateway.post(PATH, json={"image": image64}, headers={"content-encoding": "gzip"})
    assert "gzip" in assert_error(response, 415)


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/nowhere", 404, "Not Found"),
        ("POST", "/nowhere", 404, "Not Found"),
        ("GET", PATH, 405, "Method Not Allowed"),
        ("DELETE", PATH, 405, "Method Not Allowed"),
        ("POST", "/health", 405, "Method Not Allowed"),
    ],
)
async def test_routing_errors(gateway: httpx.AsyncClient, method: str, path: str, status: int, message: str) -> None:
    response = await gateway.request(method, path)
    assert assert_error(response, status) == message
    if status == 405:
        assert response.headers["allow"]


async def test_log_id_comes_back(gateway: httpx.AsyncClient, triton: Any, image64: str) -> None:
    async def log_id(method: str, path: str, body: dict[str, Any], status: int) -> str:
        response = await gateway.request(method, path, json={"logId": "mine-42"} | body)
        assert response.status_code == status
        return str(response.json()["logId"])

    assert await log_id("POST", PATH, {"image": image64}, 200) == "mine-42"
    assert await log_id("POST", PATH, {}, 422) == "mine-42"
    assert await log_id("POST", PATH, {"image": "%"}, 422) == "mine-42"
    assert await log_id("POST", "/nowhere", {}, 404) == "mine-42"
    assert await log_id("PUT", PATH, {}, 405) == "mine-42"
    await triton.stop()
    assert await log_id("POST", PATH, {"image": image64}, 503) == "mine-42"


@pytest.mark.parametrize(("sent", "back"), [("5", "5"), ("0", "0"), ("-17", "-17"), (f"{2**63}", f"{2**63}")])
async def test_a_log_id_may_be_a_number(gateway: httpx.AsyncClient, image64: str, sent: str, back: str) -> None:
    for image, status in ((image64, 200), ("%", 422)):
        response = await gateway.post(PATH, content=f'{{"image": "{image}", "logId": {sent}}}')
        assert (response.status_code, response.json()["logId"]) == (status, back)


@pytest.mark.parametrize("sent", ['""', "null", '"\\ud800"', '"line\\nbreak"'])
async def test_odd_log_ids(gateway: httpx.AsyncClient, image64: str, sent: str) -> None:
    response = await gateway.post(PATH, content=f'{{"image": "{image64}", "logId": {sent}}}')
    assert response.status_code == 200
    assert response.json()["logId"]


async def test_unforeseen_exception(
    gateway: httpx.AsyncClient, image64: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a secret of the server")

    monkeypatch.setattr("gateway.inference.detector.draw_detections", broken)
    with caplog.at_level(logging.ERROR):
        response = await gateway.post(PATH, json={"image": image64, "logId": "mine\n42"})
    assert assert_error(response, 500) == "Internal server error"
    assert response.json()["logId"] == "mine\n42"
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.getMessage() == f"unhandled exception in POST {PATH}"
    assert "a secret of the server" in str(record.exc_info)


async def test_body_over_the_limit(make_gateway: Any, triton: Any, image64: str) -> None:
    async with make_gateway(max_body_bytes=len(image64) + 100) as gateway:
        assert (await gateway.post(PATH, json={"image": image64})).status_code == 200
        response = await gateway.post(PATH, json={"image": image64, "x": "y" * 200})
    message = assert_error(response, 413)
    assert f"{len(image64) + 100:,} bytes" in message
    assert len(triton.images) == 1


@pytest.mark.parametrize("path", [PATH, PATH + "?x=1"])
async def test_body_without_a_length_is_counted(make_gateway: Any, path: str) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1000
            yield b"x" * 1000
            await asyncio.sleep(0)

    async with make_gateway(max_body_bytes=10_000) as gateway:
        response = await gateway.post(path, content=endless())
    assert_error(response, 413)
    assert sent <= 12_000


async def test_absurd_content_length(make_gateway: Any) -> None:
    async with make_gateway() as gateway:
        response = await gateway.post(PATH, content=b"{}", headers={"content-length": "9" * 5000})
        assert_error(response, 413)
        response = await gateway.post("/nowhere", content=b"{}", headers={"content-length": "9" * 18})
        assert_error(response, 413)
