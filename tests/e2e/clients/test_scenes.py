"""Scenes that are read in windows, with the real server: the same objects as in its own slices, and little memory."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sod_client.pipeline import create_pipeline

from tests.e2e.conftest import DEMO
from tests.e2e.started_server import REPOSITORY, Serving, process_environment
from tests.peak_memory import peak_mib

rasterio = pytest.importorskip("rasterio", reason="rasterio is not installed")
UTM35 = rasterio.CRS.from_epsg(32635)
PLACE = rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 5_900_000)
MOST_MIB = 700
SOD = Path(sys.executable).parent / "sod"


@pytest.fixture(scope="module")
def street() -> NDArray[np.uint8]:
    """RGB [3, H, W]."""
    image = cv2.imread(str(REPOSITORY.parent / "docs" / "street.jpg"))[..., ::-1]
    return np.ascontiguousarray(np.moveaxis(image, 2, 0))


def write(path: Path, image: NDArray[np.uint8], **options: Any) -> Path:
    _, height, width = image.shape
    with rasterio.open(
        path, "w", "GTiff", width, height, 3, UTM35, PLACE, "uint8", tiled=True, compress="deflate", **options
    ) as file:
        file.write(image)
    return path


def rows(boxes: Any) -> NDArray[np.float64]:
    """Class id, score, x1, y1, x2, y2."""
    return np.array([(box["cls_id"], box["score"], *box["coordinate"]) for box in boxes]).reshape(-1, 6)


def best_ious(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """The IoU of each row's best box of the same class in `other`."""
    low = np.maximum(one[:, None, 2:4], other[None, :, 2:4])
    high = np.minimum(one[:, None, 4:], other[None, :, 4:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    area = [np.prod(table[:, 4:] - table[:, 2:4], axis=1) for table in (one, other)]
    ious = shared / (area[0][:, None] + area[1][None] - shared)
    return np.asarray(np.where(one[:, None, 0] == other[None, :, 0], ious, 0).max(axis=1))


@pytest.mark.parametrize("combine", ["nms", "nmm", "none"])
def test_windows_give_the_objects_of_the_servers_own_slices(
    server: Serving, street: NDArray[np.uint8], tmp_path: Path, combine: str
) -> None:
    """An image that both can do. Only boxes that a window cuts may differ, because the server clips them to it."""
    image = np.tile(street, (1, 2, 2))
    path = write(tmp_path / "scene.tif", image)
    sent = np.ascontiguousarray(np.moveaxis(image, 0, 2)[..., ::-1])
    options: dict[str, Any] = {"slice_infer": True, "threshold": 0.4, "combine_method": combine}
    with create_pipeline(url=server.url, model=DEMO) as pipeline:
        (in_windows,) = pipeline.predict(path, **options)
        (in_slices,) = pipeline.predict(sent, visualize=False, **options)
    assert type(in_windows).__name__ == "SceneResult"
    own, expected = rows(in_windows.boxes), rows(in_slices.boxes)
    assert len(expected) > 80
    assert abs(len(own) - len(expected)) <= 0.01 * len(expected)
    for one, other in ((own, expected), (expected, own)):
        assert np.mean(best_ious(one, other) > 0.95) > 0.98


def test_a_scene_of_40000_x_40000_pixels_takes_little_memory(
    server: Serving, street: NDArray[np.uint8], tmp_path: Path
) -> None:
    """Most of it has no data. The memory is that of the command, its child processes included."""
    path, side = tmp_path / "scene.tif", 40_000
    places = [(1_000, 2_000), (20_480, 20_480), (38_000, 39_000)]
    with rasterio.open(
        path, "w", "GTiff", side, side, 3, UTM35, PLACE, "uint8", nodata=0, tiled=True, blockxsize=512, blockysize=512,
        compress="deflate", sparse_ok=True, BIGTIFF="YES"
    ) as file:  # fmt: skip
        for x, y in places:
            _, height, width = street.shape
            file.write(np.maximum(street, 1), window=rasterio.windows.Window(x, y, width, height))
    command = [
        SOD,
        "predict",
        path,
        "--slice_infer",
        "--slice_size",
        "1360",
        "1360",
        "--model",
        DEMO,
        "--threshold",
        "0.4",
    ]
    command += ["--save_path", tmp_path / "out"]
    start = time.monotonic()
    environment = process_environment(SOD_URL=server.url, PYTHONPATH=os.pathsep.join(sys.path))
    peak = peak_mib([*map(str, command)], environment)
    print(f"peak {peak:.0f} MiB in {time.monotonic() - start:.0f} s")
    assert 50 < peak < MOST_MIB
    boxes = json.loads((tmp_path / "out/scene_res.json").read_text())["boxes"]
    for x, y in places:
        inside = [
            box for box in boxes if x <= box["coordinate"][0] <= x + 1360 and y <= box["coordinate"][1] <= y + 765
        ]
        assert len(inside) > 10, "in windows of 1360, which are reduced to 640"
    features = json.loads((tmp_path / "out/scene_res.geojson").read_text())["features"]
    assert len(features) == len(boxes)
    overlay = cv2.imread(str(tmp_path / "out/scene_res.jpg"))
    assert overlay.shape[:2] == (4096, 4096)
