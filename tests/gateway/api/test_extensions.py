"""What a request may ask for that PaddleX does not know."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

PATH = "/small-object-detection"
MAGIC = {"jpeg": b"\xff\xd8\xff", "png": b"\x89PNG\r\n\x1a\n", "webp": b"RIFF"}


@pytest.fixture
async def gateway(make_gateway: Any) -> AsyncIterator[httpx.AsyncClient]:
    """One that fetches from the tests' own web server."""
    async with make_gateway(fetch_allow="127.0.0.1") as client:
        yield client


def found(response: httpx.Response) -> list[tuple[int, float]]:
    assert response.status_code == 200, response.text
    return [(one["categoryId"], round(one["score"], 3)) for one in response.json()["result"]["detectedObjects"]]


def issue(response: httpx.Response) -> tuple[str, str]:
    """Type and loc of the one issue."""
    assert response.status_code == response.json()["errorCode"] == 422
    (one,) = json.loads(response.json()["errorMsg"])
    return one["type"], one["loc"]


def assert_is_drawn(data: bytes, image_format: str) -> None:
    assert data.startswith(MAGIC[image_format])
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape == (80, 100, 3)
    assert np.abs(pixels.astype(int) - (90, 120, 150)).max() > 30


# Fields


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (None, [(0, 0.9), (0, 0.6), (0, 0.5), (3, 0.7), (3, 0.3)]),
        (1, [(0, 0.9)]),
        (2, [(0, 0.9), (3, 0.7)]),
        ("4", [(0, 0.9), (0, 0.6), (0, 0.5), (3, 0.7)]),
        (10**30, [(0, 0.9), (0, 0.6), (0, 0.5), (3, 0.7), (3, 0.3)]),
    ],
)
async def test_max_detections(gateway: httpx.AsyncClient, image64: str, most: Any, expected: Any) -> None:
    body = {"image": image64, "threshold": 0, "visualize": False, "maxDetections": most}
    assert found(await gateway.post(PATH, json=body)) == expected


async def test_only_what_is_returned_is_drawn(gateway: httpx.AsyncClient, image64: str) -> None:
    async def drawn(most: int | None) -> bytes:
        body = {"image": image64, "imageFormat": "png", "maxDetections": most}
        return base64.b64decode((await gateway.post(PATH, json=body)).json()["result"]["image"])

    assert await drawn(3) == await drawn(None)
    assert await drawn(2) != await drawn(None)


@pytest.mark.parametrize("image_format", ["jpeg", "png", "webp", None])
async def test_image_format(gateway: httpx.AsyncClient, image64: str, image_format: str | None) -> None:
    response = await gateway.post(PATH, json={"image": image64, "imageFormat": image_format})
    assert_is_drawn(base64.b64decode(response.json()["result"]["image"]), image_format or "jpeg")


async def test_image_quality(make_gateway: Any, noise64: str) -> None:
    async def size(gateway: httpx.AsyncClient, **fields: Any) -> int:
        return len((await gateway.post(PATH, json={"image": noise64} | fields)).json()["result"]["image"])

    async with make_gateway(jpeg_quality=60) as gateway:
        assert await size(gateway) == await size(gateway, imageQuality=60) == await size(gateway, imageQuality=None)
        assert await size(gateway, imageQuality=30) < await size(gateway) < await size(gateway, imageQuality=95)
        webp = {"imageFormat": "webp"}
        assert await size(gateway, imageQuality=30, **webp) < await size(gateway, **webp)
        assert await size(gateway, imageQuality=30, imageFormat="png") == await size(gateway, imageFormat="png")


@pytest.fixture(scope="session")
def noise64() -> str:
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    return base64.b64encode(cv2.imencode(".png", noise)[1].tobytes()).decode()


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("maxDetections", 0, "greater_than_equal"),
        ("maxDetections", 1.5, "int_from_float"),
        ("maxDetections", "many", "int_parsing"),
        ("imageFormat", "gif", "literal_error"),
        ("imageFormat", 3, "literal_error"),
        ("imageQuality", 0, "greater_than_equal"),
        ("imageQuality", 101, "less_than_equal"),
    ],
)
async def test_wrong_fields(gateway: httpx.AsyncClient, image64: str, field: str, value: Any, kind: str) -> None:
    assert issue(await gateway.post(PATH, json={"image": image64, field: value})) == (kind, f"body.{field}")


async def test_issues_come_in_the_order_of_the_fields(gateway: httpx.AsyncClient) -> None:
    response = await gateway.post(PATH, json={"logId": [], "imageQuality": 0, "visualize": 7, "threshold": 2})
    locs = [one["loc"] for one in json.loads(response.json()["errorMsg"])]
    assert locs == ["body.image", "body.threshold", "body.visualize", "body.imageQuality", "body.logId"]


async def test_a_format_that_cannot_hold_the_image_is_refused_before_the_inference(
    gateway: httpx.AsyncClient, triton: Any, encode_image: Callable[..., bytes]
) -> None:
    wide = base64.b64encode(encode_image(".png", 2, 20_000)).decode()
    response = await gateway.post(PATH, json={"image": wide, "imageFormat": "webp"})
    assert response.status_code == 422
    assert "'jpeg' or 'png'" in response.json()["errorMsg"]
    assert triton.images == []
    assert (await gateway.post(PATH, json={"image": wide, "imageFormat": "png"})).status_code == 200


# Accept


@pytest.mark.parametrize(
    "asked",
    [
        ("image/jpeg", {}, "jpeg"),
        ("image/png", {}, "png"),
        ("image/*", {"imageFormat": "webp"}, "webp"),
        ("image/jpeg;q=0.1, image/webp", {"visualize": True}, "webp"),
    ],
)
@pytest.mark.parametrize("setting", [True, False])
async def test_the_image_itself(make_gateway: Any, image64: str, asked: tuple[str, Any, str], setting: bool) -> None:
    accept, fields, expected = asked
    async with make_gateway(visualize=setting) as gateway:
        body = {"image": image64, "logId": "mine-42"} | fields
        response = await gateway.post(PATH, json=body, headers={"accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"] == f"image/{expected}"
    assert response.headers["x-log-id"] == "mine-42"
    assert response.headers["x-detections"] == "3"
    assert "encode;dur=" in response.headers["server-timing"]
    assert_is_drawn(response.content, expected)


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json, image/jpeg", "text/html"])
async def test_json_stays_the_answer(gateway: httpx.AsyncClient, image64: str, accept: str) -> None:
    response = await gateway.post(PATH, json={"image": image64}, headers={"accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "asked",
    [
        ("image/gif", {}, "image/gif"),
        ("image/png", {"imageFormat": "jpeg"}, "`imageFormat`"),
        ("image/jpeg", {"visualize": False}, "`visualize` is false"),
    ],
)
async def test_an_image_that_cannot_be_had(
    gateway: httpx.AsyncClient, triton: Any, image64: str, asked: tuple[str, Any, str]
) -> None:
    accept, fields, reason = asked
    body = {"image": image64, "logId": "mine-42"} | fields
    response = await gateway.post(PATH, json=body, headers={"accept": accept})
    assert response.status_code == response.json()["errorCode"] == 406
    assert response.headers["content-type"] == "application/json"
    assert reason in response.json()["errorMsg"]
    assert response.json()["logId"] == "mine-42"
    assert triton.images == []


async def test_several_accept_headers_are_one(gateway: httpx.AsyncClient, image64: str) -> None:
    headers = [("accept", "application/json;q=0.1"), ("accept", "image/png")]
    response = await gateway.post(PATH, json={"image": image64}, headers=headers)
    assert response.headers["content-type"] == "image/png"


async def test_errors_are_json_whatever_is_accepted(gateway: httpx.AsyncClient) -> None:
    headers = {"accept": "image/jpeg"}
    assert issue(await gateway.post(PATH, json={}, headers=headers)) == ("missing", "body.image")
    assert (await gateway.post(PATH, json={"image": "####"}, headers=headers)).json()["errorCode"] == 422


@pytest.mark.parametrize(
    ("log_id", "header"),
    [("a\r\nX: y", "a%0D%0AX:%20y"), ("né%", "n%C3%A9%25"), ("\ud800", "?"), ("x" * 5000, "x" * 200)],
)
async def test_any_log_id_fits_the_header(gateway: httpx.AsyncClient, image64: str, log_id: str, header: str) -> None:
    body = json.dumps({"image": image64, "logId": log_id})
    response = await gateway.post(PATH, content=body, headers={"accept": "image/jpeg"})
    assert response.headers["x-log-id"] == header


# Timing


async def test_server_timing(gateway: httpx.AsyncClient, web: Any, image: bytes, image64: str) -> None:
    async def stages(body: dict[str, Any]) -> list[str]:
        timing = (await gateway.post(PATH, json=body)).headers["server-timing"]
        assert re.fullmatch(r"(\w+;dur=\d+\.\d)(, \w+;dur=\d+\.\d)*", timing)
        return re.findall(r"(\w+);", timing)

    assert await stages({"image": image64, "visualize": False}) == ["body", "parse", "queue", "infer", "total"]
    url = web.image("/a.jpg", image)
    expected = ["body", "parse", "fetch", "queue", "decode", "infer", "draw", "encode", "total"]
    assert await stages({"image": url}) == expected


# Forms


async def test_form_with_a_file(gateway: httpx.AsyncClient, triton: Any, image: bytes) -> None:
    data = {"threshold": '{"0": 0.8, "3": 0.2}', "visualize": "false", "logId": "mine-42", "nonsense": "x"}
    response = await gateway.post(PATH, files={"image": ("a.jpg", image)}, data=data)
    assert found(response) == [(0, 0.9), (3, 0.7), (3, 0.3)]
    assert "image" not in response.json()["result"]
    assert response.json()["logId"] == "mine-42"
    assert triton.images == [image]


@pytest.mark.parametrize("threshold", ["0.65", ' "0.65" ', "null", ""])
async def test_form_threshold(gateway: httpx.AsyncClient, image: bytes, threshold: str) -> None:
    data = {"threshold": threshold, "visualize": "", "model": "", "maxDetections": "", "logId": ""}
    response = await gateway.post(PATH, files={"image": image}, data=data)
    expected = [(0, 0.9), (3, 0.7)] if "0.65" in threshold else [(0, 0.9), (0, 0.6), (3, 0.7)]
    assert found(response) == expected
    assert response.json()["result"]["image"]


async def test_form_with_text(gateway: httpx.AsyncClient, triton: Any, web: Any, image: bytes) -> None:
    for text in (base64.encodebytes(image), web.image("/a.jpg", image).encode()):
        assert found(await gateway.post(PATH, files={"image": (None, text)}))
    assert triton.images == [image] * 2


@pytest.mark.parametrize(
    ("files", "data", "expected"),
    [
        ([("other", ("a", b"x"))], {}, ("missing", "body.image")),
        ([("image", ("a", b"x"))] * 2, {}, ("too_long", "body.image")),
        ([("image", (None, b"\xff\xd8\xff"))], {}, ("string_unicode", "body.image")),
        ([("image", b"x")], {"threshold": ["0.1", "0.2"]}, ("repeated", "body.threshold")),
        ([("image", b"x")], {"threshold": "{0: 0.1}"}, ("json_invalid", "body.threshold")),
        ([("image", b"x")], {"threshold": "2"}, ("threshold_range", "body.threshold")),
        ([("image", b"x")], {"visualize": "perhaps"}, ("bool_parsing", "body.visualize")),
        ([("image", b"x")], {"maxDetections": "0"}, ("greater_than_equal", "body.maxDetections")),
        ([("image", b"x")], {"imageFormat": "bmp"}, ("literal_error", "body.imageFormat")),
        ([("image", b"x"), ("model", ("a", b"\xff"))], {}, ("string_unicode", "body.model")),
        ([("image", b"x")] + [("more", b"")] * 40, {}, ("too_many_parts", "body")),
    ],
)
async def test_wrong_forms(
    gateway: httpx.AsyncClient, triton: Any, files: Any, data: Any, expected: tuple[str, str]
) -> None:
    assert issue(await gateway.post(PATH, files=files, data=data)) == expected
    assert triton.images == []


async def test_issues_of_a_form_carry_its_log_id(gateway: httpx.AsyncClient) -> None:
    response = await gateway.post(PATH, files={"x": b""}, data={"logId": "mine-42"})
    assert response.json()["logId"] == "mine-42"


async def test_malformed_form(gateway: httpx.AsyncClient, image64: str) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    response = await gateway.post(PATH, content=json.dumps({"image": image64}), headers=headers)
    assert issue(response) == ("multipart_invalid", "body")


async def test_form_over_the_limit(make_gateway: Any, triton: Any, image: bytes) -> None:
    async with make_gateway(max_body_bytes=10_000, max_image_bytes=5_000) as gateway:
        assert (await gateway.post(PATH, files={"image": image})).status_code == 200
        response = await gateway.post(PATH, files={"image": bytes(6_000)})
        assert response.status_code == response.json()["errorCode"] == 413
        sent = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal sent
            yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
            while True:
                sent += 1000
                yield bytes(1000)
                await asyncio.sleep(0)

        headers = {"content-type": "multipart/form-data; boundary=x"}
        response = await gateway.post(PATH, content=endless(), headers=headers)
    assert response.status_code == response.json()["errorCode"] == 413
    assert sent <= 12_000
    assert len(triton.images) == 1


# Raw bodies


@pytest.mark.parametrize("content_type", ["image/jpeg", "image/x-anything; a=b", "Application/Octet-Stream"])
async def test_raw_body(gateway: httpx.AsyncClient, triton: Any, image: bytes, content_type: str) -> None:
    options = {"threshold": '{"0": 0.8}', "visualize": "false", "logId": "mine-42", "maxDetections": "1", "x": "y"}
    response = await gateway.post(PATH, content=image, headers={"content-type": content_type}, params=options)
    assert found(response) == [(0, 0.9)]
    assert response.json()["result"].keys() == {"detectedObjects"}
    assert response.json()["logId"] == "mine-42"
    assert triton.images == [image]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("threshold=7", ("threshold_range", "query.threshold")),
        ("threshold=high", None),
        ("threshold={0}", ("json_invalid", "query.threshold")),
        ('threshold={"77":0.5}', ("threshold_class", "query.threshold")),
        ("imageQuality=0", ("greater_than_equal", "query.imageQuality")),
        ("model=absent", ("model_unknown", "query.model")),
        ("visualize=true&visualize=false", ("repeated", "query.visualize")),
    ],
)
async def test_wrong_queries(gateway: httpx.AsyncClient, image: bytes, query: str, expected: Any) -> None:
    response = await gateway.post(f"{PATH}?{query}&logId=mine-42", content=image, headers={"content-type": "image/png"})
    assert response.json()["logId"] == "mine-42"
    if expected is None:
        locs = [one["loc"] for one in json.loads(response.json()["errorMsg"])]
        assert locs == ["query.threshold.float", "query.threshold.dict[int,float]"]
    else:
        assert issue(response) == expected


async def test_raw_body_that_is_no_image(make_gateway: Any) -> None:
    async with make_gateway(max_image_bytes=50) as gateway:
        for body, status, word in ((b"", 422, "empty"), (b"not one", 422, "JPEG"), (bytes(51), 413, "limit is 50")):
            response = await gateway.post(PATH, content=body, headers={"content-type": "image/jpeg"})
            assert response.status_code == response.json()["errorCode"] == status
            assert word in response.json()["errorMsg"]


async def test_the_query_of_other_bodies_is_ignored(gateway: httpx.AsyncClient, image64: str) -> None:
    response = await gateway.post(PATH + "?threshold=7&visualize=false", json={"image": image64})
    assert found(response)
    assert response.json()["result"]["image"]


async def test_curl_s_own_content_type_is_json(gateway: httpx.AsyncClient, image64: str) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    response = await gateway.post(PATH, content=json.dumps({"image": image64, "maxDetections": 1}), headers=headers)
    assert found(response) == [(0, 0.9)]


@pytest.mark.parametrize("content_type", ["application/json", "image/jpeg", "multipart/form-data; boundary=x"])
async def test_compressed_bodies(gateway: httpx.AsyncClient, content_type: str) -> None:
    headers = {"content-type": content_type, "content-encoding": "gzip"}
    response = await gateway.post(PATH, content=b"x", headers=headers)
    assert response.status_code == response.json()["errorCode"] == 415
