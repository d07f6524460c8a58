"""Many images in one request."""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.inference.triton_client import TritonDetector

PATH = "/small-object-detection/batch"


@pytest.fixture
async def gateway(make_gateway: Any) -> AsyncIterator[httpx.AsyncClient]:
    """One that fetches from the tests' own web server."""
    async with make_gateway(fetch_allow="127.0.0.1") as client:
        yield client


def entries(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    document = response.json()
    assert document.keys() == {"logId", "errorCode", "errorMsg", "result"}
    assert (document["errorCode"], document["errorMsg"]) == (0, "Success")
    assert document["result"].keys() == {"results"}
    found: list[dict[str, Any]] = document["result"]["results"]
    for one in found:
        if one["errorCode"]:
            assert one.keys() == {"errorCode", "errorMsg"}
        else:
            assert one["errorMsg"] == "Success"
    return found


def codes(response: httpx.Response) -> list[int]:
    return [one["errorCode"] for one in entries(response)]


def objects(entry: dict[str, Any]) -> list[tuple[int, float]]:
    return [(one["categoryId"], round(one["score"], 3)) for one in entry["result"]["detectedObjects"]]


def issue(response: httpx.Response) -> tuple[str, str]:
    assert response.status_code == response.json()["errorCode"] == 422
    (one,) = json.loads(response.json()["errorMsg"])
    return one["type"], one["loc"]


async def test_options_of_all_and_of_one(gateway: httpx.AsyncClient, image64: str) -> None:
    images = [
        image64,
        {"image": image64, "threshold": 0.2, "visualize": True},
        {"image": image64, "threshold": {"0": 0.3}, "maxDetections": None},
        {"image": image64, "maxDetections": "3", "threshold": 0, "imageFormat": "png", "visualize": True},
    ]
    body = {"images": images, "threshold": 0.65, "visualize": False, "maxDetections": 4, "logId": "mine-42"}
    response = await gateway.post(PATH, json=body)
    assert response.json()["logId"] == "mine-42"
    first, second, third, fourth = entries(response)
    assert objects(first) == [(0, 0.9), (3, 0.7)]
    assert objects(second) == [(0, 0.9), (0, 0.6), (0, 0.5), (3, 0.7)]
    assert objects(third) == [(0, 0.9), (0, 0.6), (0, 0.5), (3, 0.7)]
    assert objects(fourth) == [(0, 0.9), (0, 0.6), (3, 0.7)]
    drawn = [one["result"].get("image") for one in (first, second, third, fourth)]
    assert [image is not None for image in drawn] == [False, True, False, True]
    assert base64.b64decode(drawn[1])[:2] == b"\xff\xd8"
    assert base64.b64decode(drawn[3])[1:4] == b"PNG"


async def test_each_fails_alone_and_in_its_place(
    make_gateway: Any, triton: Any, web: Any, image: bytes, image64: str
) -> None:
    images = [
        "####",
        image64,
        {"threshold": 0.2},
        3,
        {"image": image64, "threshold": 7},
        {"image": image64, "threshold": {"77": 0.5}},
        {"image": image64, "model": "absent"},
        base64.b64encode(bytes(2000)).decode(),
        web.image("/a.jpg", image),
        "ftp://host/a.jpg",
    ]
    async with make_gateway(max_image_bytes=len(image) + 100, fetch_allow="127.0.0.1") as gateway:
        response = await gateway.post(PATH, json={"images": images, "visualize": False})
    found = entries(response)
    assert [one["errorCode"] for one in found] == [422, 0, 422, 422, 422, 422, 422, 413, 0, 422]
    assert "base64" in found[0]["errorMsg"]
    located = [json.loads(found[index]["errorMsg"])[0]["loc"] for index in range(2, 7)]
    assert located == ["body.image", "body", "body.threshold", "body.threshold", "body.model"]
    assert triton.images == [image] * 2


async def test_order_is_the_request_s_though_the_first_is_the_last_to_finish(
    gateway: httpx.AsyncClient, web: Any, image64: str
) -> None:
    asked, release = asyncio.Event(), asyncio.Event()

    async def slow(writer: asyncio.StreamWriter) -> None:
        asked.set()
        await release.wait()
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    web.handle("/slow", slow)
    asking = asyncio.create_task(gateway.post(PATH, json={"images": [web.url + "/slow"] + [image64] * 5}))
    async with asyncio.timeout(30):
        await asked.wait()
    release.set()
    assert codes(await asking) == [422, 0, 0, 0, 0, 0]


async def test_triton_is_away(gateway: httpx.AsyncClient, triton: Any, image64: str) -> None:
    await triton.stop()
    assert codes(await gateway.post(PATH, json={"images": [image64, "####"]})) == [503, 422]


async def test_a_defect_fails_one_image_and_is_logged(
    gateway: httpx.AsyncClient,
    image64: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a secret of the server")

    monkeypatch.setattr("gateway.inference.detector.draw_detections", broken)
    images = [image64, {"image": image64, "visualize": False}]
    with caplog.at_level(logging.ERROR):
        response = await gateway.post(PATH, json={"images": images, "logId": "mine-42"})
    assert codes(response) == [500, 0]
    assert entries(response)[0]["errorMsg"] == "Internal server error"
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.exc_info is not None
    assert "a secret of the server" in str(record.exc_info[1])


async def test_what_is_under_way_is_bounded(
    make_gateway: Any, triton: Any, image64: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    triton.hold = asyncio.Event()
    full = asyncio.Event()
    most, now = 0, 0
    infer = TritonDetector.infer

    async def counted(*args: Any) -> Any:
        nonlocal most, now
        now += 1
        most = max(most, now)
        if now == 3:
            full.set()
        try:
            return await infer(*args)
        finally:
            now -= 1

    monkeypatch.setattr(TritonDetector, "infer", counted)
    async with make_gateway(batch_concurrency=3) as gateway:
        asking = asyncio.create_task(gateway.post(PATH, json={"images": [image64] * 12, "visualize": False}))
        async with asyncio.timeout(30):
            await full.wait()
        triton.hold.set()
        assert codes(await asking) == [0] * 12
    assert most == 3


async def test_a_client_that_leaves_stops_the_batch(make_gateway: Any, triton: Any, image64: str) -> None:
    triton.hold = asyncio.Event()
    async with make_gateway(batch_concurrency=2) as gateway:
        asking = asyncio.create_task(gateway.post(PATH, json={"images": [image64] * 12}))
        async with asyncio.timeout(30):
            await triton.arrived.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        triton.hold.set()
        assert codes(await gateway.post(PATH, json={"images": [image64]})) == [0]
    assert len(triton.images) <= 3


async def test_what_is_kept_is_bounded(make_gateway: Any, image64: str) -> None:
    async with make_gateway() as gateway:
        (alone,) = entries(await gateway.post(PATH, json={"images": [image64]}))
    size = len(base64.b64decode(alone["result"]["image"]))
    async with make_gateway(max_batch_overlay_bytes=2 * size + 10, batch_concurrency=1) as gateway:
        found = entries(await gateway.post(PATH, json={"images": [image64] * 4}))
        assert [one["errorCode"] for one in found] == [0, 0, 413, 413]
        assert f"{2 * size + 10:,} bytes" in found[2]["errorMsg"]
        assert codes(await gateway.post(PATH, json={"images": [image64] * 4, "visualize": False})) == [0] * 4


async def test_the_number_of_images_is_bounded(make_gateway: Any, image: bytes, image64: str) -> None:
    async with make_gateway(max_batch_images=2) as gateway:
        assert codes(await gateway.post(PATH, json={"images": [image64] * 2})) == [0, 0]
        assert issue(await gateway.post(PATH, json={"images": [image64] * 3})) == ("too_long", "body.images")
        response = await gateway.post(PATH, files=[("image", image)] * 3)
        assert issue(response) == ("too_long", "body.image")
        assert "the limit is 2" in response.text


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ("missing", "body.images")),
        ({"image": "x"}, ("missing", "body.images")),
        ({"images": []}, ("too_short", "body.images")),
        ({"images": "x"}, ("list_type", "body.images")),
        ({"images": None}, ("list_type", "body.images")),
        ({"images": ["x"], "threshold": 7}, ("threshold_range", "body.threshold")),
        ([], ("model_attributes_type", "body")),
    ],
)
async def test_wrong_as_a_whole(gateway: httpx.AsyncClient, triton: Any, body: Any, expected: tuple[str, str]) -> None:
    assert issue(await gateway.post(PATH, json=body)) == expected
    assert triton.asked == 0


async def test_form(gateway: httpx.AsyncClient, triton: Any, web: Any, image: bytes, image64: str) -> None:
    files = [
        ("image", ("a.jpg", image)),
        ("image", ("b.jpg", b"not an image")),
        ("image", (None, image64)),
        ("image", (None, web.image("/a.jpg", image))),
    ]
    data = {"threshold": "0.65", "visualize": "false", "logId": "mine-42"}
    response = await gateway.post(PATH, files=files, data=data)
    assert response.json()["logId"] == "mine-42"
    assert codes(response) == [0, 422, 0, 0]
    assert objects(entries(response)[3]) == [(0, 0.9), (3, 0.7)]
    assert triton.images == [image] * 3
    assert issue(await gateway.post(PATH, files={"other": image})) == ("missing", "body.image")


async def test_a_body_that_is_an_image_is_no_batch(gateway: httpx.AsyncClient, image: bytes) -> None:
    response = await gateway.post(PATH, content=image, headers={"content-type": "image/jpeg"})
    assert response.status_code == response.json()["errorCode"] == 415


async def test_accept(gateway: httpx.AsyncClient, triton: Any, image64: str) -> None:
    body = {"images": [image64]}
    for accept in ("*/*", "image/jpeg, */*;q=0.1", "text/html"):
        assert codes(await gateway.post(PATH, json=body, headers={"accept": accept})) == [0]
    response = await gateway.post(PATH, json=body, headers={"accept": "image/jpeg"})
    assert response.status_code == response.json()["errorCode"] == 406
    assert len(triton.images) == 3


async def test_server_timing_adds_up(gateway: httpx.AsyncClient, image64: str) -> None:
    response = await gateway.post(PATH, json={"images": [image64] * 2})
    names = [part.split(";")[0] for part in response.headers["server-timing"].split(", ")]
    assert [name for name in names if name != "queue"] == [
        "body", "parse", "decode", "infer", "draw", "encode", "total",
    ]  # fmt: skip
