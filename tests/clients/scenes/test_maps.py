"""GeoJSON and GeoPackage: where the objects are on the earth."""

import json
import sqlite3
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sod_client.cli import main
from sod_client.errors import NoGeoreferenceError
from sod_client.pipeline import Pipeline

from tests.clients.conftest import FakeServer
from tests.clients.scenes.scene_server import PLACE, UTM35, field, rasterio, spread, write

WIDTH, HEIGHT = 900, 700
BOXES = spread(WIDTH, HEIGHT, 12)
Affine = rasterio.Affine


def features(pipeline: Pipeline, path: Path, folder: Path) -> list[Any]:
    (result,) = pipeline.predict(path, slice_infer=True)
    saved = result.save_to_geojson(folder)
    assert saved == folder / f"{path.stem}_res.geojson"
    document = json.loads(saved.read_text())
    assert document["type"] == "FeatureCollection"
    assert [feature["properties"]["bbox"] for feature in document["features"]] == [
        box["coordinate"] for box in result.boxes
    ]
    assert len(result.boxes) == len(BOXES)
    return list(document["features"])


def longitudes_latitudes(crs: Any, points: Any) -> Any:
    xs, ys = zip(*points, strict=True)
    return np.array(rasterio.warp.transform(crs, rasterio.CRS.from_epsg(4326), xs, ys)).T


@pytest.mark.parametrize(
    "place",
    [
        PLACE,
        Affine.translation(500_000, 5_900_000) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5),
        Affine(0.5, 0, 500_000, 0, 0.5, 5_900_000),
    ],
    ids=["north-up", "rotated", "south-up"],
)
def test_the_corners_of_boxes(pipeline: Pipeline, tmp_path: Path, place: Any) -> None:
    path = write(tmp_path / "scene.tif", field(WIDTH, HEIGHT, BOXES), transform=place)
    for feature in features(pipeline, path, tmp_path / "out"):
        x1, y1, x2, y2 = feature["properties"]["bbox"]
        corners = [place @ corner for corner in ((x1, y1), (x1, y2), (x2, y2), (x2, y1))]
        properties = feature["properties"]
        assert (properties["class"], properties["class_id"], properties["crs"]) == ("spot", 0, "EPSG:32635")
        assert 0.5 < properties["score"] < 1
        np.testing.assert_allclose(properties["crs_coordinates"], corners, atol=1e-3)
        (ring,) = feature["geometry"]["coordinates"]
        assert ring[0] == ring[-1]
        ring = np.array(ring[:-1])
        expected = longitudes_latitudes(UTM35, corners)
        is_same_order = abs(ring - expected).max() < abs(ring - expected[::-1]).max()
        np.testing.assert_allclose(ring, expected if is_same_order else expected[::-1], atol=1e-8)
        following = np.roll(ring, -1, axis=0)
        assert np.sum(ring[:, 0] * following[:, 1] - following[:, 0] * ring[:, 1]) > 0, "RFC 7946: counter-clockwise"
        assert 26 < ring[:, 0].min() < 28
        assert 53 < ring[:, 1].min() < 54


def test_ground_control_points_and_rpc(pipeline: Pipeline, tmp_path: Path) -> None:
    control = [
        rasterio.control.GroundControlPoint(row, column, 500_000 + column / 2, 5_900_000 - row / 2)
        for row in (0, HEIGHT) for column in (0, WIDTH)
    ]  # fmt: skip
    by_points = write(tmp_path / "points.tif", field(WIDTH, HEIGHT, BOXES), gcps=control, transform=None)
    for feature in features(pipeline, by_points, tmp_path):
        x1, y1, _, _ = feature["properties"]["bbox"]
        np.testing.assert_allclose(feature["properties"]["crs_coordinates"][0], PLACE @ (x1, y1), atol=0.01)

    zeros = [0.0] * 20
    line, sample, one = zeros.copy(), zeros.copy(), [1.0, *zeros[1:]]
    line[2], sample[1] = -1.0, 1.0  # lines go south with latitude, samples east with longitude
    rpcs = rasterio.rpc.RPC(
        height_off=0, height_scale=1, lat_off=53.0, lat_scale=0.01, line_den_coeff=one, line_num_coeff=line,
        line_off=350, line_scale=350, long_off=27.0, long_scale=0.01, samp_den_coeff=one, samp_num_coeff=sample,
        samp_off=450, samp_scale=450, err_bias=None, err_rand=None,
    )  # fmt: skip
    by_model = write(tmp_path / "rpc.tif", field(WIDTH, HEIGHT, BOXES), crs=None, transform=None, rpcs=rpcs)
    for feature in features(pipeline, by_model, tmp_path):
        x1, y1, _, _ = feature["properties"]["bbox"]
        expected = (27 + 0.01 * (x1 - 450) / 450, 53 - 0.01 * (y1 - 350) / 350)
        np.testing.assert_allclose(feature["properties"]["crs_coordinates"][0], expected, atol=3e-5)


def test_a_crs_without_authority(pipeline: Pipeline, tmp_path: Path) -> None:
    crs = rasterio.CRS.from_string("+proj=tmerc +lat_0=52 +lon_0=26.5 +k=0.9999 +x_0=1000 +y_0=2000 +ellps=WGS84")
    path = write(tmp_path / "own.tif", field(WIDTH, HEIGHT, BOXES), crs=crs)
    found = features(pipeline, path, tmp_path)
    assert found[0]["properties"]["crs"]
    ring = np.array(found[0]["geometry"]["coordinates"][0])
    assert np.isfinite(ring).all()


def test_an_object_across_the_antimeridian_is_cut(pipeline: Pipeline, tmp_path: Path) -> None:
    place = Affine(0.01, 0, 175.5, 0, -0.01, 3)
    path = write(tmp_path / "pacific.tif", field(900, 700, [(400, 300, 500, 400)]), transform=place, crs="EPSG:4326")
    (result,) = pipeline.predict(path, slice_infer=True)
    (feature,) = json.loads(result.save_to_geojson(tmp_path).read_text())["features"]
    west, east = (np.array(ring) for (ring,) in feature["geometry"]["coordinates"])
    assert (west[:, 0].min(), west[:, 0].max()) == pytest.approx((179.5, 180))
    assert (east[:, 0].min(), east[:, 0].max()) == pytest.approx((-180, -179.5))


def test_the_geopackage(pipeline: Pipeline, tmp_path: Path) -> None:
    path = write(tmp_path / "scene.tif", field(WIDTH, HEIGHT, BOXES))
    (result,) = pipeline.predict(path, slice_infer=True)
    saved = result.save_to_geopackage(tmp_path / "objects.gpkg")
    with sqlite3.connect(saved) as database:
        assert database.execute("PRAGMA application_id").fetchone() == (0x47504B47,)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        contents = database.execute("SELECT data_type, srs_id, min_x, max_y FROM gpkg_contents").fetchone()
        assert contents[:2] == ("features", 32635)
        assert 500_000 < contents[2] < contents[2] + 1 < 500_450
        rows = database.execute("SELECT geom, class, score, x1, y1, x2, y2 FROM objects").fetchall()
    assert len(rows) == len(BOXES)
    for geometry, label, score, *box in rows:
        assert (label, 0.5 < score < 1) == ("spot", True)
        assert geometry[:3] == b"GP\0"
        assert struct.unpack_from("<BIII", geometry, 8) == (1, 3, 1, 5)
        ring = np.frombuffer(geometry, "<f8", 10, 21).reshape(5, 2)
        expected = [PLACE @ (box[0], box[1]), PLACE @ (box[2], box[3])]
        np.testing.assert_allclose([ring.min(axis=0), ring.max(axis=0)], np.sort(expected, axis=0))


def test_without_a_place_there_is_one_sentence(
    spots: FakeServer, pipeline: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr("sod_client._inputs.scenes.MAX_PIXELS", 1000)
    plain = write(tmp_path / "plain.tif", field(300, 300, []), crs=None, transform=None)
    photo = tmp_path / "photo.jpg"
    Image.new("RGB", (300, 300)).save(photo)
    site = write(tmp_path / "site.tif", field(300, 300, []), crs='LOCAL_CS["site",UNIT["metre",1]]')
    command = ["predict", "--slice_infer", str(plain), str(photo), str(site), "--url", spots.url]
    assert main([*command, "--save_path", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err.splitlines() == [
        f"sod: note: {plain}: no GeoJSON is written: it has no coordinate reference system",
        f"sod: note: {site}: no GeoJSON is written: its coordinate reference system 'site' cannot be converted to WGS "
        "84",
    ]
    assert not list((tmp_path / "out").glob("*.geojson"))
    assert main([*command[:3], "--url", spots.url, "--save_path", str(tmp_path / "out"), "--save", "geojson"]) == 1
    assert f"sod: {plain}: not saved: it has no coordinate reference system: `gdal_edit" in capsys.readouterr().err
    (result,) = pipeline.predict(photo)
    with pytest.raises(NoGeoreferenceError, match="pass a GeoTIFF"):
        result.save_to_geojson(tmp_path)
    with pytest.raises(NoGeoreferenceError, match="pass a GeoTIFF"):
        result.save_to_geopackage(tmp_path)
