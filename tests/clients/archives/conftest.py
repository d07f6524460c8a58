"""A server whose objects depend on the image alone, and a folder of images."""

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sod_client.cli import main

from tests.clients.conftest import FakeServer, Reply, jpeg

LABELS = ["pedestrian", "car", "bus"]
BROKEN = b"\xff\xd8 not a JPEG"
Sod = Callable[..., tuple[int, str]]


def reply_by_content(body: Any) -> Reply:
    """Up to seven objects that follow from the image's bytes; BROKEN is refused, and a GET lists one model."""
    if body is None:
        model = {"name": "demo", "labels": LABELS, "inputSize": [640, 640], "default": True}
        return 200, json.dumps({"logId": "1", "errorCode": 0, "result": {"models": [model]}}).encode()
    content = base64.b64decode(body["image"])
    digest = hashlib.sha256(content).digest()
    if content == BROKEN:
        return 415, json.dumps({"logId": digest.hex(), "errorCode": 415, "errorMsg": "not an image"}).encode()
    objects = [
        {
            "bbox": [k, k + 0.5, k + 9, k + 8],
            "categoryId": digest[k] % 3,
            "categoryName": LABELS[digest[k] % 3],
            "score": 0.5 + digest[k] / 512,
        }
        for k in range(digest[0] % 8)
    ]
    reply = {"logId": digest.hex(), "errorCode": 0, "errorMsg": "Success", "result": {"detectedObjects": objects}}
    return 200, json.dumps(reply).encode()


@pytest.fixture(autouse=True)
def _replies(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    server.reply = reply_by_content
    monkeypatch.setattr("sod_client._archives.inputs.stores.FIRST_PAUSE_S", 0.001)


@pytest.fixture
def sod(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> Sod:
    """Run `sod batch`; returns the exit code and what it printed to stderr."""

    def run(*arguments: object, url: str | None = None) -> tuple[int, str]:
        try:
            code = main(["batch", *map(str, arguments), "--url", url or server.url, "--no_progress"])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        assert captured.out == ""
        return code, captured.err

    return run


def write_images(folder: Path, count: int = 12) -> Path:
    """Images of different content, in two subfolders."""
    for number in range(count):
        path = folder / f"flight{number % 2}" / f"{number:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(64 + number % 7, 48, (number * 19 % 256, number // 13 % 256, 200)))
    return folder


def write_scene(path: Path, crs: str, origin: tuple[float, float], pixel: float) -> Path:
    """A georeferenced image of 300 by 200 pixels.

    Args:
        path: of the GeoTIFF.
        crs: its coordinate reference system.
        origin: of its upper left corner in that system.
        pixel: side of a pixel in that system's unit.
    """
    rasterio = pytest.importorskip("rasterio")
    import numpy as np

    transform = rasterio.transform.from_origin(*origin, pixel, pixel)
    with rasterio.open(
        path, "w", driver="GTiff", width=300, height=200, count=3, dtype="uint8", crs=crs, transform=transform
    ) as file:
        file.write(np.random.default_rng(1).integers(0, 255, (3, 200, 300), np.uint8))
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_images(tmp_path / "images")


def rows(output: Path) -> list[dict[str, Any]]:
    """The rows of a compacted dataset."""
    import pyarrow.parquet as pq

    return [row for file in sorted(output.glob("images-*.parquet")) for row in pq.read_table(file).to_pylist()]


def files(output: Path) -> dict[str, bytes]:
    """The sorted files of a dataset."""
    return {file.name: file.read_bytes() for file in sorted(output.glob("images-*.parquet"))}
