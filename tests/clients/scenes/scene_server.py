"""A server whose detector finds bright rectangles, and files to send it."""

import base64
import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.clients.conftest import FakeServer, Reply

rasterio = pytest.importorskip("rasterio", reason="rasterio is not installed")
GROUND, BRIGHT = 40, 220
UTM35 = rasterio.CRS.from_epsg(32635)
PLACE = rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 5_900_000)
Box = tuple[int, int, int, int]


def detect(body: Any) -> Reply:
    """Responds with the bright rectangles of an image, or with the models."""
    if body is None:
        model = {"name": "spots", "labels": ["spot"], "inputSize": [256, 256], "default": True}
        return _reply({"models": [model]})
    image = cv2.imdecode(np.frombuffer(base64.b64decode(body["image"]), np.uint8), cv2.IMREAD_COLOR)
    _, _, found, _ = cv2.connectedComponentsWithStats((image.min(axis=2) > 130).astype(np.uint8))
    objects = [
        {
            "bbox": [float(x), float(y), float(x + w), float(y + h)],
            "categoryId": 0,
            "categoryName": "spot",
            "score": min(0.99, 0.5 + area / 10_000),
        }
        for x, y, w, h, area in found[1:].tolist()
    ]
    return _reply({"detectedObjects": objects})


def _reply(result: Any) -> Reply:
    return 200, json.dumps({"logId": "7", "errorCode": 0, "errorMsg": "Success", "result": result}).encode()


def field(width: int, height: int, boxes: Iterable[Box], *, bands: int = 3) -> NDArray[np.uint8]:
    """uint8 [bands, height, width] with bright rectangles."""
    image = np.full((bands, height, width), GROUND, np.uint8)
    for x1, y1, x2, y2 in boxes:
        image[:, y1:y2, x1:x2] = BRIGHT
    return image


def spread(width: int, height: int, count: int = 40, seed: int = 0) -> list[Box]:
    """Boxes that do not touch, sorted; several lie across every kind of border between windows of 256."""
    random = np.random.default_rng(seed)
    boxes: list[Box] = []
    while len(boxes) < count:
        w, h = random.integers(8, 40, 2).tolist()
        x, y = int(random.integers(0, width - w)), int(random.integers(0, height - h))
        if all(x > b[2] + 6 or b[0] > x + w + 6 or y > b[3] + 6 or b[1] > y + h + 6 for b in boxes):
            boxes.append((x, y, x + w, y + h))
    return sorted(boxes)


def write(path: Path, image: NDArray[Any], **profile: Any) -> Path:
    """Write [bands, height, width] as a raster file, a GeoTIFF unless the profile says something else."""
    settings = {
        "driver": "GTiff",
        "crs": UTM35,
        "transform": PLACE,
        "tiled": True,
        "blockxsize": 128,
        "blockysize": 128,
    }
    settings |= profile
    settings = {key: value for key, value in settings.items() if value is not None}
    bands, height, width = image.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        file = rasterio.open(path, "w", count=bands, height=height, width=width, dtype=image.dtype.name, **settings)
    with file:
        file.write(image)
    return path


def found(result: Any) -> list[Box]:
    """The boxes of a result, sorted."""
    return sorted(tuple(round(edge) for edge in box["coordinate"]) for box in result.boxes)


def served() -> FakeServer:
    """A started server with this detector."""
    fake = FakeServer()
    fake.reply = detect
    return fake
