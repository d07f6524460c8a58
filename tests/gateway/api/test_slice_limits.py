"""Limits count slices: concurrency, memory and time of sliced images, alone and in batches."""

import asyncio
import json
import re
from typing import Any

import httpx
import pytest

from tests.gateway.api.test_slices import MODEL, PATH, ask, drawn, find_bright, until

IMAGE_BYTES = 400 * 300 * 3


@pytest.fixture(autouse=True)
def sliceable(triton: Any) -> None:
    triton.models[MODEL]["parameters"]["input_size"] = [100, 100]
    triton.add_pixel_entrance(MODEL)
    triton.find = find_bright


async def test_a_batch_has_no_more_slices_in_work_than_one_image(make_gateway: Any, triton: Any) -> None:
    triton.hold = asyncio.Event()
    async with make_gateway(slice_concurrency=2, max_sliced_bytes=IMAGE_BYTES) as gateway:
        images = [{"image": drawn((20, 20, 12, 12)), "slice": True}] * 3
        batch = asyncio.create_task(gateway.post(f"{PATH}/batch", json={"images": images, "visualize": False}))
        await until(lambda: triton.held == 2)
        await asyncio.sleep(0.1)
        triton.hold.set()
        results = (await batch).json()["result"]["results"]
    assert [len(one["result"]["detectedObjects"]) for one in results] == [1, 1, 1]
    assert triton.most_held == 2


async def test_an_image_over_the_memory_is_refused_before_any_work(make_gateway: Any, triton: Any) -> None:
    async with make_gateway(max_sliced_bytes=IMAGE_BYTES - 1) as gateway:
        response = await gateway.post(PATH, json={"image": drawn(), "slice": True})
        assert response.status_code == 413
        assert response.json()["errorMsg"] == (
            "The image of 400 x 300 pixels needs 360,000 bytes while it is sliced; the limit is 359,999: "
            "send a smaller image, or parts of it"
        )
        images = [{"image": drawn(), "slice": True}, drawn(size=(200, 100))]
        batch = await gateway.post(f"{PATH}/batch", json={"images": images, "visualize": False})
        assert [one["errorCode"] for one in batch.json()["result"]["results"]] == [413, 0]
    assert triton.names == [MODEL]


async def test_large_images_wait_for_memory_and_small_ones_do_not(make_gateway: Any, triton: Any) -> None:
    triton.hold = asyncio.Event()
    async with make_gateway(slice_concurrency=2, max_sliced_bytes=2 * IMAGE_BYTES - 1) as gateway:
        first = asyncio.create_task(ask(gateway, drawn(), slice=True))
        await until(lambda: triton.held == 2)
        second = asyncio.create_task(ask(gateway, drawn(), slice=True))
        await asyncio.sleep(0.2)
        assert triton.held == 2, "the second one waits for the memory of the first"
        small = asyncio.create_task(ask(gateway, drawn()))
        await until(lambda: triton.held == 3)
        triton.hold.set()
        assert [(await one).headers.get("x-slices") for one in (first, second, small)] == ["21", "21", None]


async def test_a_client_that_leaves_while_it_waits_for_memory(make_gateway: Any, triton: Any) -> None:
    triton.hold = asyncio.Event()
    async with make_gateway(slice_concurrency=2, max_sliced_bytes=IMAGE_BYTES) as gateway:
        first = asyncio.create_task(ask(gateway, drawn(), slice=True))
        await until(lambda: triton.held == 2)
        second = asyncio.create_task(ask(gateway, drawn(), slice=True))
        third = asyncio.create_task(ask(gateway, drawn(), slice=True))
        await asyncio.sleep(0.1)
        first.cancel()
        second.cancel()
        await asyncio.wait([first, second])
        triton.hold.set()
        assert (await third).headers["x-slices"] == "21"


async def take(gateway: httpx.AsyncClient, triton: Any, seconds: float) -> None:
    """Have one image of two slices detected whose slices take so long."""
    triton.hold = asyncio.Event()
    options = {"fullImage": False, "overlap": 0}
    image = asyncio.create_task(ask(gateway, drawn(size=(200, 100)), slice=options))
    await until(lambda: triton.held == 2)
    await asyncio.sleep(seconds)
    triton.hold.set()
    assert (await image).headers["x-slices"] == "2"


async def test_the_estimate_is_what_recent_slices_took(make_gateway: Any, triton: Any) -> None:
    async with make_gateway(request_timeout=1, slice_concurrency=2) as gateway:
        await take(gateway, triton, 0.3)
        asked = len(triton.names)
        response = await gateway.post(PATH, json={"image": drawn(), "slice": True})
        assert response.status_code == 422
        (issue,) = json.loads(response.json()["errorMsg"])
        assert issue["loc"] == "body.slice"
        said = re.match(r"the image of 400 x 300 pixels makes 21 slices, which take about (\d+) s; ", issue["msg"])
        assert said is not None, issue
        assert int(said[1]) >= 3, "21 slices, two at a time, of 0.3 s each"
        assert len(triton.names) == asked
        images = [{"image": drawn(), "slice": True}, drawn()]
        batch = await gateway.post(f"{PATH}/batch", json={"images": images, "visualize": False})
        assert [one["errorCode"] for one in batch.json()["result"]["results"]] == [422, 0]


async def test_a_slow_time_that_is_over_refuses_nothing(
    make_gateway: Any, triton: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.inference.sliced._RECENT_S", 0.2)
    monkeypatch.setattr("gateway.limits.concurrency_limiter._RECENT_S", 0.2)
    async with make_gateway(request_timeout=2, slice_concurrency=2) as gateway:
        await take(gateway, triton, 0.5)
        assert (await gateway.post(PATH, json={"image": drawn(), "slice": True})).status_code == 422
        await asyncio.sleep(0.3)
        await ask(gateway, drawn(), slice=True)


async def test_what_the_wait_for_memory_has_left_too_little_time_for_is_503(make_gateway: Any, triton: Any) -> None:
    limits = {"request_timeout": 4, "slice_concurrency": 4, "max_sliced_bytes": IMAGE_BYTES}
    async with make_gateway(**limits) as gateway:
        await take(gateway, triton, 0.4)  # then 21 slices take about 2 s
        triton.hold = asyncio.Event()
        first = asyncio.create_task(ask(gateway, drawn(), slice=True))
        await until(lambda: triton.held == 4)
        second = asyncio.create_task(gateway.post(PATH, json={"image": drawn(), "slice": True}))
        await asyncio.sleep(2.5)
        first.cancel()
        response = await second
        triton.hold.set()
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert re.search(
        r"makes 21 slices, which take about \d+ s; after the wait for other large images \d+ s are left: try again",
        response.json()["errorMsg"],
    )
