"""Slices that the client makes for Triton itself."""

import asyncio
import io
import sys
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image
from sod_client import AsyncPipeline, InvalidConfigError, ServerError

from tests.clients.transport.test_grpc import one, pipeline, triton
from tests.gateway.conftest import MODEL, FakeTriton

__all__ = ["pipeline", "triton"]
SCENE = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)


@pytest.fixture(autouse=True)
def small_input(triton: FakeTriton) -> None:
    triton.models[MODEL]["parameters"]["input_size"] = [100, 120]


def sizes(triton: FakeTriton) -> list[tuple[int, int]]:
    return sorted(Image.open(io.BytesIO(image)).size for image in triton.images)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"slice_infer": True}, [(120, 100)] * 20 + [(400, 300)]),
        ({"slice_infer": "auto"}, [(120, 100)] * 20 + [(400, 300)]),
        ({"slice_infer": True, "slice_size": (200, 150), "overlap_ratio": 0}, [(200, 150)] * 4 + [(400, 300)]),
        ({"slice_infer": True, "slice_size": 400}, [(400, 300)]),
        ({}, [(400, 300)]),
    ],
)
async def test_what_is_sent(pipeline: AsyncPipeline, triton: FakeTriton, options: Any, expected: Any) -> None:
    await one(pipeline, SCENE, **options)
    assert sizes(triton) == expected


async def test_auto_leaves_images_up_to_1_5_times_the_input_whole(pipeline: AsyncPipeline, triton: FakeTriton) -> None:
    await one(pipeline, SCENE[:150, :180], slice_infer="auto")
    assert sizes(triton) == [(180, 150)]


async def test_slices_are_the_pixels_of_the_image_and_boxes_return_to_their_places(
    pipeline: AsyncPipeline, triton: FakeTriton
) -> None:
    triton.objects = [(3, 0.9, (10.0, 20.0, 30.0, 40.0))]
    found = await one(pipeline, SCENE, slice_infer=True, slice_size=(200, 150), overlap_ratio=0, combine_method="none")
    slices = [np.asarray(Image.open(io.BytesIO(image)))[..., ::-1] for image in triton.images]
    places = [(0, 0), (200, 0), (0, 150), (200, 150)]
    for x, y in places:
        assert any(np.array_equal(one, SCENE[y : y + 150, x : x + 200]) for one in slices)
    boxes = sorted(box["coordinate"] for box in found.boxes)
    assert boxes == sorted([x + 10.0, y + 20.0, x + 30.0, y + 40.0] for x, y in [*places, (0, 0)])
    merged = await one(pipeline, SCENE, slice_infer=True, slice_size=(200, 150), overlap_ratio=0)
    assert len(merged.boxes) == 4


async def test_at_most_four_slices_are_with_triton_at_once(pipeline: AsyncPipeline, triton: FakeTriton) -> None:
    triton.hold = asyncio.Event()
    asyncio.get_running_loop().call_later(0.5, triton.hold.set)
    await one(pipeline, SCENE, slice_infer=True)
    assert triton.most_held == 4
    assert len(triton.images) == 21


async def test_a_slice_that_fails_fails_the_image(pipeline: AsyncPipeline, triton: FakeTriton) -> None:
    triton.fails = grpc.StatusCode.INTERNAL, "a stage has failed"
    with pytest.raises(ServerError, match="a stage has failed"):
        await one(pipeline, SCENE, slice_infer=True)
    assert len(triton.images) < 21, "the others are left out"


async def test_a_model_that_does_not_state_its_input(pipeline: AsyncPipeline, triton: FakeTriton) -> None:
    del triton.models[MODEL]["parameters"]["input_size"]
    with pytest.raises(InvalidConfigError, match=f"{MODEL} does not state its input size: export it again"):
        await one(pipeline, SCENE, slice_infer=True)


def test_without_grpc_the_client_needs_no_numpy() -> None:
    import subprocess

    code = "import sys; sys.modules['numpy'] = None; import sod_client; print(sod_client.create_pipeline.__name__)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "create_pipeline"
