import base64
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.inference.detector import decode
from sod.errors import InvalidImageError
from sod.image import decode_image, to_pixels

PATH = "/small-object-detection"
SIDE = (64, 48)


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)


def jpeg(height: int, width: int) -> bytes:
    return cv2.imencode(".jpg", noise(height, width))[1].tobytes()


@pytest.mark.parametrize(("height", "width"), [(65, 97), (300, 40), (40, 300), (64, 48)])
def test_what_is_sent_gives_the_detector_the_same_pixels(height: int, width: int) -> None:
    image = jpeg(height, width)
    pixels, sent = decode(image, 10**6, SIDE)
    np.testing.assert_array_equal(pixels, decode_image(image))
    assert sent is not None
    np.testing.assert_array_equal(to_pixels(decode_image(sent.data), SIDE), to_pixels(pixels, SIDE))
    assert sent.scale_factor.dtype == np.float32
    assert sent.scale_factor.tolist() == [np.float32(SIDE[0] / height), np.float32(SIDE[1] / width)]


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(63, 48, SIDE), (1100, 1100, (1100, 1000)), (64, 48, None)],
    ids=["smaller than the input", "an input too large to be sent plainly", "input unknown"],
)
def test_else_the_image_itself_is_sent(height: int, width: int, size: tuple[int, int] | None) -> None:
    assert decode(jpeg(height, width), 10**7, size)[1] is None


def test_what_cannot_be_decoded() -> None:
    with pytest.raises(InvalidImageError, match="cannot be decoded"):
        decode(cv2.imencode(".png", noise(90, 90))[1].tobytes()[:900], 10**6, SIDE)


@pytest.mark.parametrize("visualize", [True, False])
async def test_boxes_are_of_the_source(make_gateway: Any, triton: Any, visualize: bool) -> None:
    image = jpeg(100, 200)
    triton.models["PP-YOLOE_plus_SOD-S"]["parameters"]["input_size"] = [50, 50]
    triton.objects = [(3, 0.9, (10.0, 5.0, 20.0, 45.0)), (3, 0.8, (-3.0, 5.0, 90.0, 10.0))]
    async with make_gateway() as gateway:
        gateway: httpx.AsyncClient
        answer = await gateway.post(PATH, json={"image": base64.b64encode(image).decode(), "visualize": visualize})
    boxes = [one["bbox"] for one in answer.json()["result"]["detectedObjects"]]
    if visualize:  # found in 50 by 50 pixels
        assert decode_image(triton.images[-1]).shape == (50, 50, 3)
        assert boxes == [[40.0, 10.0, 80.0, 90.0], [0.0, 10.0, 200.0, 20.0]]
    else:  # Triton was sent the image, and answers in its pixels
        assert triton.images[-1] == image
        assert boxes == [[10.0, 5.0, 20.0, 45.0], [0.0, 5.0, 90.0, 10.0]]
