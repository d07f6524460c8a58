"""The result of a scene, and what detecting it costs."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from sod_client.pipeline import AsyncPipeline, Pipeline
from sod_client.result import Result

from tests.clients.conftest import FakeServer
from tests.clients.scenes.scene_server import PLACE, UTM35, field, found, rasterio, spread, write
from tests.peak_memory import peak_mib

WIDTH, HEIGHT = 900, 700
BOXES = spread(WIDTH, HEIGHT)


def test_it_is_an_ordinary_result(pipeline: Pipeline, tmp_path: Path) -> None:
    path = write(tmp_path / "scene.tif", field(WIDTH, HEIGHT, BOXES))
    (result,) = pipeline.predict(path, slice_infer=True)
    assert isinstance(result, Result)
    assert list(result) == ["input_path", "page_index", "boxes"]
    ordinary = Result(str(path), result.boxes)
    for options in ({}, {"indent": None}, {"ensure_ascii": True}):
        own = result.save_to_json(tmp_path / "own.json", **options).read_bytes()
        assert own == ordinary.save_to_json(tmp_path / "ordinary.json", **options).read_bytes()
    assert json.loads(result.save_to_json(tmp_path / "out").read_text()) == dict(result)
    assert (tmp_path / "out/scene_res.json").is_file()
    assert result.to_csv().count("\n") == len(BOXES) + 1
    assert len(result.to_yolo().splitlines()) == len(BOXES)


@pytest.mark.parametrize("count", [3, 600])
def test_the_drawing_is_reduced_and_small_boxes_are_seen(pipeline: Pipeline, tmp_path: Path, count: int) -> None:
    boxes = [(8 * i % 6000, 40 + 8 * (8 * i // 6000), 8 * i % 6000 + 4, 44 + 8 * (8 * i // 6000)) for i in range(count)]
    path = write(tmp_path / "scene.tif", field(6000, 1500, boxes))
    (result,) = pipeline.predict(path, slice_infer=True, slice_size=1500)
    assert found(result) == sorted(boxes)
    drawn = np.asarray(result.img["res"])
    assert drawn.shape == (1024, 4096, 3)
    x1, y1, x2, y2 = (round(edge * 4096 / 6000) for edge in boxes[1])
    around = drawn[y1 - 5 : y2 + 5, x1 - 5 : x2 + 5].astype(int)
    assert (abs(around - (255, 240, 0)).max(axis=2) < 40).sum() >= 12, "the colour of the class"
    assert result.save_to_img(tmp_path / "out").name == "scene_res.jpg"


async def test_asyncio(spots: FakeServer, tmp_path: Path) -> None:
    path = write(tmp_path / "scene.tif", field(WIDTH, HEIGHT, BOXES))
    async with AsyncPipeline(url=spots.url) as pipeline:
        results = [result async for result in pipeline.predict([path, path], slice_infer=True)]
    assert [found(result) for result in results] == [BOXES, BOXES]


def test_memory_does_not_grow_with_the_scene(spots: FakeServer, tmp_path: Path) -> None:
    """Of the command with its child processes. Most of the larger scene has no data."""
    peaks = [_peak_mib(spots, _sparse(tmp_path / f"{side}.tif", side), tmp_path / "out") for side in (4_500, 12_000)]
    assert peaks[1] < 700
    assert peaks[1] < peaks[0] + 100


def _sparse(path: Path, side: int) -> Path:
    with rasterio.open(
        path, "w", "GTiff", side, side, 3, UTM35, PLACE, "uint8", nodata=0, tiled=True, blockxsize=512, blockysize=512,
        compress="deflate", sparse_ok=True
    ) as file:  # fmt: skip
        for corner in (512, side - 1000):
            window = rasterio.windows.Window(corner, corner, WIDTH, HEIGHT)
            file.write(field(WIDTH, HEIGHT, BOXES), window=window)
    return path


def _peak_mib(server: FakeServer, path: Path, out: Path) -> float:
    command = [
        sys.executable,
        "-m",
        "sod_client.cli",
        "predict",
        str(path),
        "--slice_infer",
        "--slice_size",
        "1280",
        "1280",
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    peak = peak_mib([*command, "--url", server.url, "--save_path", str(out)], environment)
    assert len(json.loads((out / f"{path.stem}_res.json").read_text())["boxes"]) == 2 * len(BOXES)
    return peak
