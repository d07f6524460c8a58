"""Boxes end at the edges of the image as it is shown."""

import base64
import io
from typing import Any

import httpx
import pytest
from PIL import Image

_ORIENTATION = 0x0112


def turned_jpeg(orientation: int) -> str:
    tags = Image.Exif()
    tags[_ORIENTATION] = orientation
    buffer = io.BytesIO()
    Image.new("RGB", (64, 24), 100).save(buffer, "JPEG", exif=tags.tobytes())
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize("visualize", [True, False])
@pytest.mark.parametrize(("orientation", "edges"), [(1, [0, 0, 64, 24]), (6, [0, 0, 24, 64])])
async def test_boxes_end_at_the_edges(
    gateway: httpx.AsyncClient, triton: Any, visualize: bool, orientation: int, edges: list[int]
) -> None:
    triton.objects = [(0, 0.9, (-3.0, -2.5, 200.0, 100.0))]
    response = await gateway.post(
        "/small-object-detection", json={"image": turned_jpeg(orientation), "visualize": visualize}
    )
    assert response.json()["result"]["detectedObjects"][0]["bbox"] == edges
