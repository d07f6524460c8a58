"""Sliced inference through the API: a detector that finds bright rectangles in whatever pixels it is sent."""

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import cv2
import grpc
import httpx
import numpy as np
import pytest

PATH = "/small-object-detection"
MODEL = "PP-YOLOE_plus_SOD-S"
# x, y, width, height in an image of 400 x 300, which makes slices of 100 x 100 with 25 pixels in common.
SQUARES = {
    "inside a slice": (20, 20, 12, 12),
    "at the image's edge": (388, 288, 12, 12),
    "across an edge of slices": (68, 140, 14, 12),
    "across a corner of slices": (219, 219, 12, 12),
    "in four slices": (155, 80, 14, 14),
}


def find_bright(pixels: Any) -> list[tuple[int, float, tuple[float, float, float, float]]]:
    _, _, boxes, _ = cv2.connectedComponentsWithStats((pixels.max(axis=2) > 128).astype(np.uint8))
    return [(3, 0.9, (float(x), float(y), float(x + w), float(y + h))) for x, y, w, h, _ in boxes[1:]]


def drawn(*rectangles: tuple[int, int, int, int], size: tuple[int, int] = (400, 300)) -> str:
    image = np.zeros((size[1], size[0], 3), np.uint8)
    for x, y, width, height in rectangles:
        image[y : y + height, x : x + width] = 255
    return base64.b64encode(cv2.imencode(".png", image)[1].tobytes()).decode()


@pytest.fixture(autouse=True)
def sliceable(triton: Any) -> None:
    triton.models[MODEL]["parameters"]["input_size"] = [100, 100]
    triton.add_pixel_entrance(MODEL)
    triton.find = find_bright


async def ask(gateway: httpx.AsyncClient, image: str, **fields: Any) -> httpx.Response:
    response = await gateway.post(PATH, json={"image": image, "visualize": False, **fields})
    assert response.status_code == 200, response.text
    return response


def boxes(response: httpx.Response) -> list[list[float]]:
    return sorted(one["bbox"] for one in response.json()["result"]["detectedObjects"])


def corners(*rectangles: tuple[int, int, int, int]) -> list[list[float]]:
    return sorted([float(x), float(y), float(x + w), float(y + h)] for x, y, w, h in rectangles)


@pytest.mark.parametrize("combine", ["nms", "nmm"])
@pytest.mark.parametrize("place", SQUARES)
async def test_an_object_across_any_border_is_found_once(gateway: httpx.AsyncClient, place: str, combine: str) -> None:
    options = {"fullImage": False, "combine": combine}
    response = await ask(gateway, drawn(SQUARES[place]), slice=options)
    assert boxes(response) == corners(SQUARES[place])
    assert response.headers["x-slices"] == "20"


@pytest.mark.parametrize("overlap", [0, 0.02, 0.05])
async def test_an_object_that_no_slice_holds_is_found_once(gateway: httpx.AsyncClient, overlap: float) -> None:
    square = (80, 85, 50, 40)
    response = await ask(gateway, drawn(square), slice={"fullImage": False, "overlap": overlap})
    assert boxes(response) == corners(square)


async def test_all_at_once_with_the_whole_image_and_an_overlay(gateway: httpx.AsyncClient, triton: Any) -> None:
    response = await gateway.post(PATH, json={"image": drawn(*SQUARES.values()), "slice": True})
    assert len(boxes(response)) == len(SQUARES)
    assert response.headers["x-slices"] == "21"
    assert "merge;dur=" in response.headers["server-timing"]
    assert {pixels.shape for pixels, _ in triton.pixels} == {(100, 100, 3)}
    assert sorted({tuple(scale) for _, scale in triton.pixels}) == [(np.float32(1 / 3), 0.25), (1.0, 1.0)]
    overlay = cv2.imdecode(
        np.frombuffer(base64.b64decode(response.json()["result"]["image"]), np.uint8), cv2.IMREAD_COLOR
    )
    assert overlay.shape == (300, 400, 3)


@pytest.mark.parametrize(
    ("options", "slices", "sizes"),
    [
        ({"size": 200, "overlap": 0, "fullImage": False}, 4, (200, 200)),
        ({"size": [200, 100], "overlap": [0, 0], "fullImage": False}, 6, (200, 100)),
        ({"size": [400, 300]}, None, None),
        ({"size": 4000}, None, None),
    ],
)
async def test_size_and_overlap(
    gateway: httpx.AsyncClient, triton: Any, options: Any, slices: int | None, sizes: tuple[int, int] | None
) -> None:
    response = await ask(gateway, drawn(SQUARES["inside a slice"]), slice=options)
    assert response.headers.get("x-slices") == (None if slices is None else str(slices))
    if sizes is None:
        assert triton.names == [MODEL], "one slice holds the image: it is detected whole"
    else:
        assert {tuple(scale) for _, scale in triton.pixels} == {(100 / sizes[1], 100 / sizes[0])}


@pytest.mark.parametrize(("size", "sliced"), [((150, 150), False), ((151, 90), True), ((90, 151), True)])
async def test_auto_slices_large_images_only(gateway: httpx.AsyncClient, size: tuple[int, int], sliced: bool) -> None:
    response = await ask(gateway, drawn((20, 20, 12, 12), size=size), slice="auto")
    assert ("x-slices" in response.headers) == sliced


async def test_forms_query_and_batches(gateway: httpx.AsyncClient) -> None:
    image = drawn(SQUARES["in four slices"])
    data = base64.b64decode(image)
    options = '{"size": 200, "fullImage": false}'
    form = await gateway.post(PATH, data={"slice": options, "visualize": "false"}, files={"image": data})
    query = await gateway.post(
        PATH, params={"slice": "auto", "visualize": "false"}, content=data, headers={"content-type": "image/png"}
    )
    assert (form.headers["x-slices"], query.headers["x-slices"]) == ("6", "21")
    assert boxes(query) == corners(SQUARES["in four slices"])
    np.testing.assert_allclose(boxes(form), corners(SQUARES["in four slices"]), atol=2)  # slices at half the size
    items = [{"image": image, "slice": True}, image]
    batch = await gateway.post(f"{PATH}/batch", json={"images": items, "visualize": False})
    results = batch.json()["result"]["results"]
    assert [len(one["result"]["detectedObjects"]) for one in results] == [1, 3]  # the second one is detected whole


async def test_the_image_of_an_overlay_response(gateway: httpx.AsyncClient) -> None:
    response = await gateway.post(
        PATH, json={"image": drawn(*SQUARES.values()), "slice": True}, headers={"accept": "image/png"}
    )
    assert response.headers["content-type"] == "image/png"
    assert (response.headers["x-slices"], response.headers["x-detections"]) == ("21", "5")


@pytest.mark.parametrize(
    ("given", "loc"),
    [
        ({"size": 10}, "size"),
        ({"size": [640]}, "size"),
        ({"overlap": 0.95}, "overlap"),
        ({"overlap": -0.1}, "overlap"),
        ({"combine": "wbf"}, "combine"),
        ({"matchMetric": "giou"}, "matchMetric"),
        ({"matchThreshold": 0}, "matchThreshold"),
        ({"sise": 640}, "sise"),
        ("always", "slice"),
        (640, "slice"),
    ],
)
async def test_bad_options(gateway: httpx.AsyncClient, given: Any, loc: str) -> None:
    response = await gateway.post(PATH, json={"image": drawn(), "slice": given})
    assert response.status_code == 422
    issues = json.loads(response.json()["errorMsg"])
    assert any(loc in issue["loc"] for issue in issues), issues


async def test_too_many_slices_are_refused_before_any_work(make_gateway: Any, triton: Any) -> None:
    async with make_gateway(max_slices=19) as gateway:
        response = await gateway.post(PATH, json={"image": drawn(), "slice": True})
        assert response.status_code == 422
        (issue,) = json.loads(response.json()["errorMsg"])
        assert (issue["type"], issue["loc"]) == ("too_many_slices", "body.slice")
        assert issue["msg"] == (
            "the image of 400 x 300 pixels makes 20 slices; the limit is 19: "
            "send a larger `size` or a smaller `overlap`"
        )
    assert triton.names == []


async def test_slices_that_take_longer_than_a_request_may_are_refused_at_once(make_gateway: Any, triton: Any) -> None:
    async with make_gateway(request_timeout=1, max_concurrency=1) as gateway:
        triton.hold = asyncio.Event()
        asyncio.get_running_loop().call_later(0.3, triton.hold.set)
        await ask(gateway, drawn())  # an image takes 0.3 s
        response = await gateway.post(PATH, json={"image": drawn(), "slice": True})
    assert response.status_code == 422
    assert "which take about" in response.json()["errorMsg"]


async def test_a_model_without_an_entrance_for_pixels(gateway: httpx.AsyncClient, triton: Any) -> None:
    triton.add("mine", labels=["a", "b", "c", "d"], input_size=[100, 100])
    response = await gateway.post(PATH, json={"image": drawn(), "slice": True, "model": "mine"})
    assert response.status_code == 422
    assert "mine cannot be asked in slices: export it again" in response.json()["errorMsg"]
    small = await ask(gateway, drawn(size=(150, 90)), slice="auto", model="mine")
    assert "x-slices" not in small.headers


async def test_a_slice_that_fails_fails_the_image(gateway: httpx.AsyncClient, triton: Any) -> None:
    calls = 0

    def fail_once(pixels: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 5:
            triton.fails = (grpc.StatusCode.INTERNAL, "a stage has failed")
        return find_bright(pixels)

    triton.find = fail_once
    response = await gateway.post(PATH, json={"image": drawn(*SQUARES.values()), "slice": True})
    assert response.status_code == 503
    assert "result" not in response.json()
    assert calls < 21, "the other slices are not asked"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.01)


async def test_a_large_image_leaves_room_for_small_ones(make_gateway: Any, triton: Any) -> None:
    triton.hold = asyncio.Event()
    async with make_gateway(slice_concurrency=2, max_concurrency=3) as gateway:
        large = asyncio.create_task(ask(gateway, drawn(), slice=True))
        await until(lambda: triton.held == 2)
        small = asyncio.create_task(ask(gateway, drawn()))
        await until(lambda: triton.held == 3)
        triton.hold.set()
        await small
        assert (await large).headers["x-slices"] == "21"
    assert triton.most_held == 3


async def test_a_client_that_leaves_ends_all_its_slices(make_gateway: Any, triton: Any) -> None:
    triton.hold = asyncio.Event()
    async with make_gateway() as gateway:
        large = asyncio.create_task(ask(gateway, drawn(), slice=True))
        await until(lambda: triton.held > 1)
        large.cancel()
        await asyncio.wait([large])
        await until(lambda: triton.held == 0)
        assert triton.names == []
        triton.hold.set()
        await ask(gateway, drawn())
