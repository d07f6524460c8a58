"""What the detector sends to Triton, and what it makes of the result."""

import base64
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.images.image_input import EncodedImage
from gateway.inference.detector import decode_for_overlay
from sod.errors import InvalidImageError
from sod.image import check_image, decode_image, to_pixels

PATH = "/small-object-detection"
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
    np.testing.assert_array_equal(to_pixels(decode_image(resized.data), INPUT_SIZE), to_pixels(pixels, INPUT_SIZE))
    assert resized.scale_factor.dtype == np.float32
    assert resized.scale_factor.tolist() == [np.float32(64 / height), np.float32(48 / width)]


@pytest.mark.parametrize(
    ("height", "width", "input_size"),
    [(63, 48, INPUT_SIZE), (1100, 1100, (1100, 1000)), (64, 48, None)],
    ids=["smaller than the input", "an input too large to be sent uncompressed", "input unknown"],
)
def test_else_the_image_itself_is_sent(height: int, width: int, input_size: tuple[int, int] | None) -> None:
    assert decode_for_overlay(checked(encoded(height, width)), input_size)[1] is None


def test_an_image_that_cannot_be_decoded() -> None:
    image = checked(encoded(90, 90, ".png")[:900])
    with pytest.raises(InvalidImageError, match="cannot be decoded"):
        decode_for_overlay(image, INPUT_SIZE)


@pytest.mark.parametrize("visualize", [True, False])
async def test_boxes_are_in_pixels_of_the_source(make_gateway: Any, triton: Any, visualize: bool) -> None:
    image = encoded(100, 200)
    triton.models["PP-YOLOE_plus_SOD-S"]["parameters"]["input_size"] = [50, 50]
    triton.objects = [(3, 0.9, (10.0, 5.0, 20.0, 45.0)), (3, 0.8, (-3.0, 5.0, 90.0, 10.0))]
    async with make_gateway() as gateway:
        gateway: httpx.AsyncClient
        response = await gateway.post(PATH, json={"image": base64.b64encode(image).decode(), "visualize": visualize})
    boxes = [one["bbox"] for one in response.json()["result"]["detectedObjects"]]
    if visualize:  # detected in 50 by 50 pixels
        assert decode_image(triton.images[-1]).shape == (50, 50, 3)
        assert boxes == [[40.0, 10.0, 80.0, 90.0], [0.0, 10.0, 200.0, 20.0]]
    else:  # Triton was sent the image, and responds in its pixels
        assert triton.images[-1] == image
        assert boxes == [[10.0, 5.0, 20.0, 45.0], [0.0, 5.0, 90.0, 10.0]]
