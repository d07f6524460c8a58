"""What is read of a file: every format, kind of samples and orientation gives the objects where they are."""

import itertools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sod_client.errors import SodWarning
from sod_client.pipeline import Pipeline

from tests.clients.conftest import FakeServer
from tests.clients.scenes.scene_server import PLACE, UTM35, field, found, rasterio, spread, write

WIDTH, HEIGHT = 900, 700
BOXES = spread(WIDTH, HEIGHT)
NO_TILES = {"tiled": None, "blockxsize": None, "blockysize": None}
HUGE = "sod_client._inputs.scenes.MAX_PIXELS"


def detect(pipeline: Pipeline, path: Path, **options: Any) -> Any:
    (result,) = pipeline.predict(path, slice_infer=True, **options)
    assert type(result).__name__ == "SceneResult"
    return result


@pytest.mark.parametrize(
    ("name", "profile"),
    [
        ("tiled.tif", {"compress": "deflate"}),
        ("strips.tif", {**NO_TILES, "blockysize": 16, "compress": "lzw"}),
        ("big.tif", {"BIGTIFF": "YES"}),
        ("cog.tif", {"driver": "COG", **NO_TILES, "blocksize": 128}),
        ("scene.jp2", {"driver": "JP2OpenJPEG", "REVERSIBLE": "YES", "QUALITY": "100", **NO_TILES}),
        ("separate.tif", {"interleave": "band"}),
    ],
)
def test_formats(pipeline: Pipeline, tmp_path: Path, name: str, profile: dict[str, Any]) -> None:
    result = detect(pipeline, write(tmp_path / name, field(WIDTH, HEIGHT, BOXES), **profile))
    assert found(result) == BOXES
    assert result.size == (WIDTH, HEIGHT)
    assert result["page_index"] is None


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_a_file_over_the_servers_limit_is_read_in_windows(
    pipeline: Pipeline, spots: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr(HUGE, WIDTH * HEIGHT - 1)
    path = tmp_path / f"photo{suffix}"
    image = Image.fromarray(np.moveaxis(field(WIDTH, HEIGHT, BOXES), 0, 2))
    image.save(path, **({"quality": 100, "subsampling": 0} if suffix == ".jpg" else {}))
    assert found(detect(pipeline, path)) == BOXES
    assert len(spots.requests) == 1 + 5 * 4 + 1  # the models, the windows, the whole scene
    spots.requests.clear()
    monkeypatch.setattr(HUGE, WIDTH * HEIGHT)
    (whole,) = pipeline.predict(path, slice_infer=True)
    assert type(whole).__name__ == "Result"
    assert spots.requests[0][1]["slice"] is True


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, orientation: int
) -> None:
    """As the server sees the image, with the windows as the image is shown."""
    monkeypatch.setattr(HUGE, 1000)
    path, image = tmp_path / f"photo{suffix}", Image.fromarray(np.moveaxis(field(WIDTH, HEIGHT, BOXES), 0, 2))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, exif=exif, **({"quality": 100, "subsampling": 0} if suffix == ".jpg" else {}))
    from sod_client._inputs.pixels import decode_image

    upright = np.asarray(decode_image(path.read_bytes()))
    result = detect(pipeline, path)
    assert result.size == (upright.shape[1], upright.shape[0])
    for x1, y1, x2, y2 in found(result):
        assert upright[y1:y2, x1:x2].min() > 130
    assert len(result.boxes) == len(BOXES)


def test_strips_and_lines_are_read_once(tmp_path: Path) -> None:
    """Wide files that are decoded from top to bottom are read in rows; the windows are those of the array."""
    from sod_client._inputs.rasters.raster import Raster

    image = np.random.default_rng(0).integers(1, 255, (3, 500, 5000), np.uint8)
    path = write(tmp_path / "strips.tif", image, tiled=None, blockxsize=None, blockysize=8)
    with Raster(path) as raster:
        assert raster._in_rows
        for y, x in itertools.product((0, 100, 200, 244), (0, 1000, 4744)):
            pixels, valid = raster.read(x, y, 256, 256)
            assert valid is None
            np.testing.assert_array_equal(pixels, np.moveaxis(image[:, y : y + 256, x : x + 256], 0, 2))


@pytest.mark.parametrize(
    ("dtype", "scale", "offset"), [("uint16", 12, 100), ("int16", 8, -500), ("float32", 0.01, -1), ("float64", 1e5, 0)]
)
@pytest.mark.parametrize("stretch", [True, "percentile", "min-max"])
def test_more_than_8_bits(  # noqa: PLR0917 - parameters
    pipeline: Pipeline, tmp_path: Path, dtype: str, scale: float, offset: float, stretch: Any
) -> None:
    image = (field(WIDTH, HEIGHT, BOXES).astype(np.float64) * scale + offset).astype(dtype)
    path = write(tmp_path / "scene.tif", image)
    assert found(detect(pipeline, path, stretch=stretch)) == BOXES


def test_the_stretch_is_the_same_for_all_windows(pipeline: Pipeline, spots: FakeServer, tmp_path: Path) -> None:
    """A window of grounds alone stays dark."""
    image = field(WIDTH, HEIGHT, [(600, 500, 640, 540)]).astype(np.uint16) * 16
    list(pipeline.predict(write(tmp_path / "scene.tif", image), slice_infer=True, stretch="min-max"))
    import cv2

    levels = [set(np.unique(cv2.imdecode(np.frombuffer(one, np.uint8), 1)).tolist()) for one in spots_images(spots)]
    assert set().union(*levels) == {0, 255}
    assert {0} in levels


def spots_images(spots: FakeServer) -> list[bytes]:
    import base64

    return [base64.b64decode(body["image"]) for _, body in spots.requests if body is not None]


def test_12_bits_without_stretch_keep_the_upper_byte_and_are_noted(pipeline: Pipeline, tmp_path: Path) -> None:
    image = field(WIDTH, HEIGHT, BOXES).astype(np.uint16) * 16
    with pytest.warns(SodWarning, match=r"no value above 3520 where it was sampled, .* pass --stretch"):
        assert found(detect(pipeline, write(tmp_path / "scene.tif", image))) == []
    full = field(WIDTH, HEIGHT, BOXES).astype(np.uint16) * 256
    assert found(detect(pipeline, write(tmp_path / "full.tif", full))) == BOXES


def test_bands(pipeline: Pipeline, tmp_path: Path) -> None:
    image = np.full((5, HEIGHT, WIDTH), 0, np.uint8)
    image[[4, 1, 2]] = field(WIDTH, HEIGHT, BOXES)
    path = write(tmp_path / "scene.tif", image)
    assert found(detect(pipeline, path)) == []
    assert found(detect(pipeline, path, bands=(5, 2, 3))) == BOXES
    assert found(detect(pipeline, path, bands=[5])) == BOXES


def test_palettes_one_bit_alpha_and_nodata(pipeline: Pipeline, tmp_path: Path) -> None:
    grey = field(WIDTH, HEIGHT, BOXES, bands=1)
    index = (grey > 100).astype(np.uint8)
    path = tmp_path / "palette.tif"
    with rasterio.open(path, "w", "GTiff", WIDTH, HEIGHT, 1, UTM35, PLACE, "uint8", photometric="palette") as file:
        file.write(index)
        file.write_colormap(1, {0: (10, 20, 30), 1: (240, 230, 220)})
    assert found(detect(pipeline, path)) == BOXES
    assert found(detect(pipeline, write(tmp_path / "bits.tif", index, nbits=1))) == BOXES
    assert found(detect(pipeline, write(tmp_path / "white.tif", 255 - grey, photometric="miniswhite"))) == BOXES


@pytest.mark.parametrize("kind", ["nodata", "alpha", "mask", "nan"])
def test_what_has_no_data_is_not_detected(pipeline: Pipeline, spots: FakeServer, tmp_path: Path, kind: str) -> None:
    """The right half has bright pixels that have no data. Windows without data are not sent."""
    image = field(2000, 700, BOXES)
    image[:, :, 1000:] = 200
    has_data = np.ones((700, 2000), np.uint8) * 255
    has_data[:, 1000:] = 0
    path, options = tmp_path / "scene.tif", {}
    if kind == "nodata":
        write(path, image, nodata=200)
    elif kind == "alpha":
        write(path, np.concatenate([image, has_data[None]]), photometric="RGB", ALPHA="YES")
    elif kind == "mask":
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            write(path, image)
            with rasterio.open(path, "r+") as file:
                file.write_mask(has_data)
    else:
        floats = image.astype(np.float32)
        floats[:, :, 1000:] = np.nan
        write(path, floats)
        options = {"stretch": "min-max"}
    assert found(detect(pipeline, path, **options)) == BOXES
    assert len(spots.requests) < 1 + 1 + 11 * 4
    assert len(spots.requests) == 1 + 1 + 6 * 4


def test_pages_stay_pages_and_overviews_are_none(pipeline: Pipeline, tmp_path: Path) -> None:
    other = spread(600, 500, 10, seed=3)
    path = tmp_path / "pages.tif"
    write(path, field(WIDTH, HEIGHT, BOXES))
    write(path, field(600, 500, other), APPEND_SUBDATASET="YES")
    with rasterio.open(f"GTIFF_DIR:1:{path}", "r+") as file:
        file.build_overviews([2, 4])
    results = list(pipeline.predict(path, slice_infer=True))
    assert [(found(result), result["page_index"]) for result in results] == [(BOXES, 0), (other, 1)]
    single = write(tmp_path / "single.tif", field(WIDTH, HEIGHT, BOXES))
    with rasterio.open(single, "r+") as file:
        file.build_overviews([2, 4])
    (result,) = pipeline.predict(single)  # whole, by the ordinary way
    assert result["page_index"] == 0


def test_a_world_file_alone_makes_a_scene_without_a_map(pipeline: Pipeline, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(np.moveaxis(field(WIDTH, HEIGHT, BOXES), 0, 2)).save(path)
    path.with_suffix(".pgw").write_text("0.5\n0\n0\n-0.5\n500000\n5900000\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found(detect(pipeline, path)) == BOXES


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 700), (900, 1), (31, 2000)])
def test_narrow_scenes(pipeline: Pipeline, tmp_path: Path, width: int, height: int) -> None:
    result = detect(pipeline, write(tmp_path / "narrow.tif", field(width, height, [])))
    assert (result.boxes, result.size) == ([], (width, height))
    assert result.img["res"].size == (width, height)
