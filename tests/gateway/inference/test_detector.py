"""What the detector sends to Triton, and what it makes of the result."""

import base64
from typing import Any

import cv2
import grpc
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.images.image_input import EncodedImage
from gateway.inference.detector import decode_for_overlay
from sod.errors import InvalidImageError
from sod.image import check_image, decode_image, to_pixels

PATH = "/small-object-detection"
MODEL = "PP-YOLOE_plus_SOD-S"
INPUT_SIZE = (64, 48)


def encoded(height: int, width: int, extension: str = ".jpg") -> bytes:
    noise: NDArray[np.uint8] = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.imencode(extension, noise)[1].tobytes()


def checked(data: bytes) -> EncodedImage:
    return EncodedImage(data, check_image(data))


@pytest.mark.parametrize(("height", "width"), [(65, 97), (300, 40), (40, 300), (64, 48)])
def test_the_resized_image_gives_the_detector_the_same_pixels(height: int, width: int) -> None:
    image = encoded(height, width)
    pixels, resized = decode_for_overlay(checked(image), INPUT_SIZE)
    np.testing.assert_array_equal(pixels, decode_image(image))
    assert resized is not None
    np.testing.assert_array_equal(resized.pixels, to_pixels(pixels, INPUT_SIZE))
    assert resized.scale_factor.dtype == np.float32
    assert resized.scale_factor.tolist() == [np.float32(64 / height), np.float32(48 / width)]


@pytest.mark.parametrize(
    ("height", "width", "input_size"),
    [(63, 48, INPUT_SIZE), (1100, 1100, (1100, 1000)), (64, 48, None)],
    ids=["smaller than the input", "an input too large to be sent uncompressed", "a model without a second entrance"],
)
def test_else_the_image_itself_is_sent(height: int, width: int, input_size: tuple[int, int] | None) -> None:
    assert decode_for_overlay(checked(encoded(height, width)), input_size)[1] is None


def test_an_image_that_cannot_be_decoded() -> None:
    image = checked(encoded(90, 90, ".png")[:900])
    with pytest.raises(InvalidImageError, match="cannot be decoded"):
        decode_for_overlay(image, INPUT_SIZE)


@pytest.mark.parametrize("visualize", [True, False])
@pytest.mark.parametrize("entrance", [True, False])
async def test_pixels_are_sent_where_they_are_there_and_can_be_taken(
    make_gateway: Any, triton: Any, visualize: bool, entrance: bool
) -> None:
    image = encoded(100, 200)
    triton.models[MODEL]["parameters"]["input_size"] = [50, 40]
    if entrance:
        triton.add_pixel_entrance(MODEL)
    triton.objects = [(3, 0.9, (10.0, 5.0, 20.0, 45.0)), (3, 0.8, (-3.0, 5.0, 900.0, 10.0))]
    async with make_gateway() as gateway:
        gateway: httpx.AsyncClient
        response = await gateway.post(PATH, json={"image": base64.b64encode(image).decode(), "visualize": visualize})
    if visualize and entrance:
        assert triton.names == [f"{MODEL}_pixels"]
        ((pixels, scale_factor),) = triton.pixels
        np.testing.assert_array_equal(pixels, to_pixels(decode_image(image), (50, 40)))
        assert scale_factor == [0.5, np.float32(0.2)]
    else:
        assert triton.names == [MODEL]
        assert triton.images == [image]
    boxes = [one["bbox"] for one in response.json()["result"]["detectedObjects"]]
    assert boxes == [[10.0, 5.0, 20.0, 45.0], [0.0, 5.0, 200.0, 10.0]]


async def test_an_entrance_that_goes_is_missed_once(make_gateway: Any, triton: Any, image64: str) -> None:
    """Its requests fail until the list of models is read again, which the first failure causes."""
    triton.models[MODEL]["parameters"]["input_size"] = [8, 8]
    triton.add_pixel_entrance(MODEL)
    async with make_gateway(model_info_ttl=1000) as gateway:
        assert (await gateway.post(PATH, json={"image": image64})).status_code == 200
        del triton.models[f"{MODEL}_pixels"]
        triton.fails = (grpc.StatusCode.UNAVAILABLE, "Request for unknown model: 'x' is not found")
        response = await gateway.post(PATH, json={"image": image64})
        assert response.status_code == 503
        assert "is not loaded" in response.json()["errorMsg"]
        triton.fails = None
        assert (await gateway.post(PATH, json={"image": image64})).status_code == 200
    assert triton.names == [f"{MODEL}_pixels", f"{MODEL}_pixels", MODEL]
