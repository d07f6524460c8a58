"""Requests to Triton itself: the same results as through the gateway."""

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sod_client import (
    AsyncPipeline,
    BadReplyError,
    ConnectionFailedError,
    DependencyError,
    InvalidConfigError,
    InvalidThresholdError,
    Model,
    ServerBusyError,
    ServerError,
    create_pipeline,
)
from sod_client._transport.triton import PREFERENCE

from gateway.inference import model_catalogue
from sod import interface
from tests.clients.conftest import FakeServer, jpeg
from tests.gateway.conftest import LABELS, MODEL, OBJECTS, FakeTriton


@pytest.fixture
async def triton() -> AsyncIterator[FakeTriton]:
    fake = FakeTriton()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def pipeline(triton: FakeTriton) -> AsyncIterator[AsyncPipeline]:
    async with AsyncPipeline(url=f"grpc://127.0.0.1:{triton.port}", retries=1) as made:
        yield made


async def one(pipeline: AsyncPipeline, *args: Any, **options: Any) -> Any:
    (result,) = [result async for result in pipeline.predict(*args, **options)]
    return result


async def test_an_image_is_sent_as_it_is(pipeline: AsyncPipeline, triton: FakeTriton, street: Path) -> None:
    result = await one(pipeline, street)
    assert triton.images == [jpeg()]
    assert triton.thresholds == [[0.5] * 10]
    assert [(box["cls_id"], box["label"]) for box in result.boxes] == [(0, "pedestrian"), (0, "pedestrian"), (3, "car")]
    # Clipped at the edges of the image, which is 64 x 48.
    assert [box["coordinate"] for box in result.boxes] == [[10.5, 10, 20, 30], [40, 10, 50, 30], [60, 40, 64, 48]]
    assert result.log_id


async def test_a_box_below_the_image_is_left_out(pipeline: AsyncPipeline) -> None:
    result = await one(pipeline, jpeg(64, 50), {0: 0.4})
    assert [box["coordinate"] for box in result.boxes if box["cls_id"] == 0] == [[10.5, 10, 20, 30], [40, 10, 50, 30]]


async def test_the_client_draws_the_image(pipeline: AsyncPipeline, street: Path, tmp_path: Path) -> None:
    result = await one(pipeline, street)
    assert result.image is None
    assert result.img["res"].size == (64, 48)
    assert result.save_to_img(tmp_path / "out").name == "street_res.jpg"
    again = await one(pipeline, np.zeros((48, 64, 3), np.uint8))
    assert again.img["res"].getpixel((39, 20)) != (0, 0, 0)


async def test_a_turned_image_is_cut_as_it_is_shown(pipeline: AsyncPipeline) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48)).save(buffer, "JPEG", exif=exif)
    result = await one(pipeline, buffer.getvalue(), {3: 0.2})
    assert max(box["coordinate"][2] for box in result.boxes) <= 48
    assert max(box["coordinate"][3] for box in result.boxes) > 48
    assert result.img["res"].size == (48, 64)


async def test_the_client_fetches_urls(pipeline: AsyncPipeline, triton: FakeTriton, server: FakeServer) -> None:
    server.files = {"/a.jpg": jpeg()}
    result = await one(pipeline, f"{server.url}/a.jpg")
    assert triton.images == [jpeg()]
    assert result.input_path == f"{server.url}/a.jpg"
    assert result.img["res"].size == (64, 48)
    assert len(server.requests) == 0, "the drawing fetched it again"


@pytest.mark.parametrize(
    ("threshold", "own", "sent"),
    [
        (0.25, None, [0.25] * 10),
        ({0: 0.75, 3: 0.25}, None, [0.75, 0.5, 0.5, 0.25] + [0.5] * 6),
        (None, 0.125, [0.125] * 10),
        ({1: 0.75}, {"0": 0.25}, [0.25, 0.75] + [0.5] * 8),
    ],
)
async def test_thresholds(pipeline: AsyncPipeline, triton: FakeTriton, threshold: Any, own: Any, sent: Any) -> None:
    triton.add(MODEL, default_threshold=own)
    await one(pipeline, jpeg(), threshold)
    assert triton.thresholds == [sent]


async def test_an_unknown_class(pipeline: AsyncPipeline) -> None:
    with pytest.raises(InvalidThresholdError, match="no class 10; its class ids are 0 to 9"):
        await one(pipeline, jpeg(), {10: 0.5})


async def test_models(pipeline: AsyncPipeline, triton: FakeTriton) -> None:
    triton.add("mine", labels=["行人"], input_size=[960, 640])
    triton.add("PP-YOLOE_plus_SOD-L")
    triton.add("loading", state="LOADING")
    triton.add("a_stage", platform="")
    assert await pipeline.models() == [
        Model("PP-YOLOE_plus_SOD-L", tuple(LABELS), None, default=True),
        Model(MODEL, tuple(LABELS), None, default=False),
        Model("mine", ("行人",), (960, 640), default=False),
    ]
    await one(pipeline, jpeg())
    await one(pipeline, jpeg(), model="mine")
    assert triton.names == ["PP-YOLOE_plus_SOD-L", "mine"]
    triton.add("came later")
    await one(pipeline, jpeg(), model="came later")
    with pytest.raises(ServerError, match="no model other; these are ready: PP-YOLOE_plus_SOD-L, "):
        await one(pipeline, jpeg(), model="other")


async def test_failures(pipeline: AsyncPipeline, triton: FakeTriton) -> None:
    import grpc

    triton.error_output = b"not an image we can read"
    with pytest.raises(ServerError, match=r"input\[0\]: the server answered 422: not an image we can read"):
        await one(pipeline, b"x")
    triton.error_output = b""
    triton.missing_output = "scores"
    with pytest.raises(BadReplyError, match="outputs"):
        await one(pipeline, jpeg())
    triton.missing_output = ""
    triton.fails = grpc.StatusCode.INVALID_ARGUMENT, "[request id: 1] in ensemble 'a', no image"
    with pytest.raises(ServerError, match="the server answered 422: no image"):
        await one(pipeline, jpeg())
    triton.fails = grpc.StatusCode.INTERNAL, "a stage died"
    with pytest.raises(ServerError, match=r"500: .*a stage died"):
        await one(pipeline, jpeg())
    triton.fails = grpc.StatusCode.UNAVAILABLE, "starting"
    asked = len(triton.images)
    with pytest.raises(ConnectionFailedError, match="cannot reach grpc://"):
        await one(pipeline, jpeg())
    assert len(triton.images) == asked + 2, "it was not tried again"
    triton.fails = None
    triton.models.clear()
    with pytest.raises(ServerBusyError, match="no detector ready"):
        await one(pipeline, jpeg())


async def test_a_timeout(triton: FakeTriton) -> None:
    import asyncio

    triton.hold = asyncio.Event()
    async with AsyncPipeline(url=f"grpc://127.0.0.1:{triton.port}", timeout=0.5) as pipeline:
        with pytest.raises(ConnectionFailedError, match="in time"):
            await one(pipeline, jpeg())
        triton.hold.set()


def test_no_triton(nowhere: str) -> None:
    url = nowhere.replace("http", "grpc")
    with create_pipeline(url=url, retries=1) as pipeline:
        with pytest.raises(ConnectionFailedError, match="cannot reach grpc://"):
            next(pipeline.predict(jpeg()))
        assert pipeline.url == url
    with pytest.raises(ConnectionFailedError, match="closed"):
        next(pipeline.predict(jpeg()))


@pytest.mark.parametrize("url", ["grpc://", "grpc://host", "grpc://host:port", "grpc://host:1/path"])
def test_an_invalid_address(url: str) -> None:
    with pytest.raises(InvalidConfigError, match=r"grpc://127\.0\.0\.1:8001"):
        create_pipeline(url=url)


def test_the_error_without_tritonclient_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tritonclient.grpc", None)
    with pytest.raises(DependencyError, match=r"requires tritonclient: pip install 'tritonclient\[grpc\]'"):
        create_pipeline(url="grpc://127.0.0.1:8001")


def test_the_client_and_the_gateway_have_the_same_default() -> None:
    assert PREFERENCE == model_catalogue.PREFERENCE
    assert (interface.IMAGE, interface.SCORE_THRESHOLD, interface.ERROR) == ("image", "score_threshold", "error")
    assert OBJECTS
