"""What the detector sends to Triton, and what it makes of the result."""

import base64
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

PATH = "/small-object-detection"


@pytest.mark.parametrize("visualize", [True, False])
async def test_boxes_are_clipped_at_the_edges_of_the_source(
    gateway: httpx.AsyncClient, triton: Any, visualize: bool
) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (100, 200, 3), np.uint8)
    image = cv2.imencode(".jpg", noise)[1].tobytes()
    triton.objects = [(3, 0.9, (10.0, 5.0, 20.0, 45.0)), (3, 0.8, (-3.0, 5.0, 290.0, 10.0))]
    response = await gateway.post(PATH, json={"image": base64.b64encode(image).decode(), "visualize": visualize})
    assert triton.images[-1] == image
    boxes = [one["bbox"] for one in response.json()["result"]["detectedObjects"]]
    assert boxes == [[10.0, 5.0, 20.0, 45.0], [0.0, 5.0, 200.0, 10.0]]
