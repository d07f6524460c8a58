"""`--also geoparquet`: the file's metadata by the rules of GeoParquet 1.1, and its geometries by another reader."""

import json
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sod_client._archives.dataset.dataset import Dataset
from sod_client._archives.dataset.place import place_of
from sod_client._archives.dataset.schema import OK, Constants, Row
from sod_client._archives.report import formats, geoparquet

from tests.clients.archives.conftest import Sod, rows, write_scene

CONSTANTS = Constants("demo", "a" * 64, None, "0.3")
SQUARE = [24.0, 60.0, 24.1, 60.0, 24.1, 59.9, 24.0, 59.9]  # clockwise, as pixels are read
ACROSS = [179.9, 10.0, -179.9, 10.0, -179.9, 9.9, 179.9, 9.9]  # the antimeridian
NOWHERE = [float("inf"), 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0]


def one(polygon: list[float] | None, number: int = 0) -> dict[str, Any]:
    edges = {"x1": 1.0 + number, "y1": 2.0, "x2": 3.0 + number, "y2": 4.0}
    return {"class_id": number % 3, "label": f"class {number % 3}", "score": 0.5, **edges, "polygon": polygon}


def written(folder: Path, *objects: dict[str, Any], path: str = "a.tif") -> Path:
    """The file of a dataset of one image with these objects."""
    dataset = Dataset(place_of(str(folder)))
    row = Row(path, 1, 9, "1", "0" * 64, OK, None, None, 300, 200, "EPSG:3067", list(objects))
    dataset.add([row], CONSTANTS)
    assert formats.write(dataset, "geoparquet") == "objects.parquet"
    return folder / "objects.parquet"


def checked_metadata(file: Path) -> dict[str, Any]:
    """The metadata of the only geometry column, after a check of all that the specification says of it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    read = pq.ParquetFile(file)
    metadata = json.loads(read.metadata.metadata[b"geo"])
    assert metadata.keys() == {"version", "primary_column", "columns"}
    assert metadata["version"] == "1.1.0"
    assert metadata["columns"].keys() == {metadata["primary_column"]} == {"geometry"}
    assert read.schema_arrow.field("geometry").type == pa.binary(), "at the root, and not repeated"
    column: dict[str, Any] = metadata["columns"]["geometry"]
    assert column.keys() - {"bbox"} == {"encoding", "geometry_types", "orientation", "edges", "covering"}
    assert "crs" not in column, "the default is OGC:CRS84"
    assert column["encoding"] == "WKB"
    assert column["geometry_types"] == sorted(set(column["geometry_types"]) & {"Polygon", "MultiPolygon"})
    assert column["orientation"] == "counterclockwise"
    assert column["edges"] == "planar"
    assert column["covering"] == {"bbox": {edge: ["bbox", edge] for edge in ("xmin", "ymin", "xmax", "ymax")}}
    covering = read.schema_arrow.field("bbox").type
    assert {field.name: field.type for field in covering} == dict.fromkeys(column["covering"]["bbox"], pa.float64())
    return column


def shapes(file: Path) -> list[Any]:
    import pyarrow.parquet as pq

    shapely = pytest.importorskip("shapely")
    values = pq.read_table(file).column("geometry").to_pylist()
    return [None if value is None else shapely.from_wkb(value) for value in values]


def test_a_row_is_an_object_with_its_image(tmp_path: Path):
    import pyarrow.parquet as pq

    file = written(tmp_path, one(SQUARE), one(None, 1), one(SQUARE, 2))
    first, second = pq.read_table(file).to_pylist()
    assert second["class_id"] == 2, "an object without a place is left out"
    geometry = first.pop("geometry")
    assert first == {
        **{"path": "a.tif", "page": 1, "width": 300, "height": 200, "crs": "EPSG:3067"},
        **{"model": "demo", "model_sha256": "a" * 64},
        **{"class_id": 0, "label": "class 0", "score": 0.5, "x1": 1.0, "y1": 2.0, "x2": 3.0, "y2": 4.0},
        "bbox": {"xmin": 24.0, "ymin": 59.9, "xmax": 24.1, "ymax": 60.0},
    }
    ring = [(24.0, 59.9), (24.1, 59.9), (24.1, 60.0), (24.0, 60.0), (24.0, 59.9)]
    flat = [value for point in ring for value in point]
    assert geometry == b"\x01" + struct.pack("<III10d", 3, 1, 5, *flat), "counter-clockwise and closed"
    column = checked_metadata(file)
    assert column["geometry_types"] == ["Polygon"]
    assert column["bbox"] == [24.0, 59.9, 24.1, 60.0]


def test_across_the_antimeridian_and_where_wgs_84_has_no_coordinates(tmp_path: Path):
    file = written(tmp_path, one(ACROSS), one(NOWHERE), one(SQUARE))
    across, nowhere, square = shapes(file)
    column = checked_metadata(file)
    assert column["geometry_types"] == ["MultiPolygon", "Polygon"]
    assert column["bbox"] == [-180.0, 9.9, 180.0, 60.0]
    assert nowhere is None
    assert (across.geom_type, square.geom_type) == ("MultiPolygon", "Polygon")
    assert sorted(part.bounds for part in across.geoms) == [(-180, 9.9, -179.9, 10), (179.9, 9.9, 180, 10)]
    for polygon in (*across.geoms, square):
        assert polygon.is_valid
        assert polygon.exterior.is_ccw


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-7])
def test_rings_of_small_objects_are_counter_clockwise(tmp_path: Path, size: float):
    x, y = 139.7671, 35.6812
    clockwise = [x, y, x + size, y, x + size, y - size, x, y - size]
    turned = clockwise[2:] + clockwise[:2]
    for shape in shapes(written(tmp_path, one(clockwise), one(turned))):
        origin = shape.exterior.coords[0]
        near = [(round((a - origin[0]) / size), round((b - origin[1]) / size)) for a, b in shape.exterior.coords]
        doubled = sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(near))
        assert doubled == 2


def test_without_objects_that_have_a_place_the_file_is_valid_and_empty(tmp_path: Path):
    import pyarrow.parquet as pq

    file = written(tmp_path, one(None))
    assert pq.read_table(file).num_rows == 0
    column = checked_metadata(file)
    assert column["geometry_types"] == []
    assert "bbox" not in column


def test_groups_of_rows_are_written_as_they_fill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import pyarrow.parquet as pq

    monkeypatch.setattr(geoparquet, "GROUP_ROWS", 8192)
    taken = 0
    groups: list[int] = []

    def image(number: int) -> dict[str, Any]:
        return {
            **dict.fromkeys(("page", "width", "height", "crs", "model", "model_sha256")),
            "path": f"{number:03d}.tif",
            "objects": [one(SQUARE, k) for k in range(1000)],
        }

    def images(_: Dataset) -> Any:
        nonlocal taken
        for taken in range(30):
            yield image(taken)

    write_table = pq.ParquetWriter.write_table

    def write(self: Any, table: Any, **options: Any) -> None:
        groups.append(taken)
        write_table(self, table, **options)

    monkeypatch.setattr(geoparquet, "rows", images)
    monkeypatch.setattr(pq.ParquetWriter, "write_table", write)
    geoparquet.write(Dataset(place_of(str(tmp_path))), tmp_path / "objects.parquet")
    assert groups == [8, 16, 24, 29], "a group is written before further images are read"
    read = pq.ParquetFile(tmp_path / "objects.parquet")
    assert [read.metadata.row_group(k).num_rows for k in range(4)] == [8192, 8192, 8192, 30_000 - 3 * 8192]
    paths = read.read(["path", "x1"])
    assert paths.column("path").to_pylist() == [f"{number // 1000:03d}.tif" for number in range(30_000)]


def test_of_a_scene_it_has_the_geometries_of_geojson(sod: Sod, tmp_path: Path):
    import pyarrow.parquet as pq

    scene = write_scene(tmp_path / "scene.tif", "EPSG:32635", (300_000, 6_700_000), 0.5)
    slices = ("--slice_infer", "--slice_size", 100, 100)
    code, error = sod(scene, tmp_path / "out", *slices, "--also", "geoparquet", "--also", "geojson")
    assert (code, error) == (0, "")
    shapely = pytest.importorskip("shapely")
    features = json.loads((tmp_path / "out/objects.geojson").read_text())["features"]
    assert len(features) == len(rows(tmp_path / "out")[0]["objects"]) > 0
    file = tmp_path / "out/objects.parquet"
    assert [shapely.geometry.mapping(shape) for shape in shapes(file)] == [
        shapely.geometry.mapping(shapely.geometry.shape(feature["geometry"])) for feature in features
    ]
    found = pq.read_table(file).to_pylist()
    assert [(row["path"], row["label"], row["crs"]) for row in found] == [
        (feature["properties"]["path"], feature["properties"]["class"], "EPSG:32635") for feature in features
    ]
    duckdb = pytest.importorskip("duckdb")
    types = dict(duckdb.sql(f"SELECT column_name, column_type FROM (DESCRIBE FROM '{file}')").fetchall())
    assert types["geometry"].startswith("GEOMETRY"), "DuckDB knows the file as GeoParquet"
    bounds = shapely.union_all(shapes(file)).bounds
    assert checked_metadata(file)["bbox"] == pytest.approx(bounds)
