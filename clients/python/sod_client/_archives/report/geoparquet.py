"""`--also geoparquet`: the objects of images that have a place on a map, as GeoParquet 1.1 (geoparquet.org)."""

import json
import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from sod_client._archives import packages
from sod_client._archives.dataset.dataset import Dataset
from sod_client._archives.dataset.schema import object_type, schema
from sod_client._archives.report.geometry import geometry
from sod_client._archives.report.rows import rows

GROUP_ROWS = 65_536
"""Objects of a row group: some 15 MB, which is what is in memory."""
_BATCH = 4096
_OF_IMAGE = ("path", "page", "width", "height", "crs", "model", "model_sha256")
_OF_OBJECT = ("class_id", "label", "score", "x1", "y1", "x2", "y2")
_POLYGON, _MULTI_POLYGON = 3, 6
_EDGES = ("xmin", "ymin", "xmax", "ymax")


def write(dataset: Dataset, path: Path) -> None:
    """Write one row per object that has a place on a map.

    Raises:
        DependencyError: rasterio is not installed, and there are such objects.
    """
    pa, pq = packages.arrow(), packages.arrow("pyarrow.parquet")
    columns, objects, extent = _schema(), _objects(dataset), _Extent()
    with pq.ParquetWriter(path, columns, compression="zstd") as writer:
        while batches := list(islice(_batches(objects, extent, columns), GROUP_ROWS // _BATCH)):
            writer.write_table(pa.Table.from_batches(batches, columns), row_group_size=GROUP_ROWS)
        writer.add_key_value_metadata({"geo": json.dumps(_metadata(extent))})


def wkb(place: dict[str, Any]) -> bytes:
    """A Polygon or MultiPolygon of GeoJSON as little-endian well-known binary."""
    if place["type"] == "Polygon":
        return _polygon(place["coordinates"])
    polygons = [_polygon(rings) for rings in place["coordinates"]]
    return struct.pack("<BII", 1, _MULTI_POLYGON, len(polygons)) + b"".join(polygons)


def _polygon(rings: list[list[list[float]]]) -> bytes:
    parts = [struct.pack("<BII", 1, _POLYGON, len(rings))]
    for ring in rings:
        parts.append(struct.pack(f"<I{2 * len(ring)}d", len(ring), *(value for point in ring for value in point)))
    return b"".join(parts)


class _Extent:
    """What the file's metadata says of all geometries.

    Attributes:
        types: those that occur.
        bounds: xmin, ymin, xmax, ymax of all; None of no geometry.
    """

    def __init__(self) -> None:
        self.types: set[str] = set()
        self.bounds: tuple[float, float, float, float] | None = None

    def add(self, place: dict[str, Any]) -> tuple[float, float, float, float]:
        """Note a geometry; returns its bounds. Those across the antimeridian reach from -180 to 180."""
        self.types.add(place["type"])
        polygons = [place["coordinates"]] if place["type"] == "Polygon" else place["coordinates"]
        xs, ys = zip(*(point for rings in polygons for ring in rings for point in ring), strict=True)
        own = (min(xs), min(ys), max(xs), max(ys))
        west, south, east, north = self.bounds or own
        self.bounds = (min(west, own[0]), min(south, own[1]), max(east, own[2]), max(north, own[3]))
        return own


def _schema() -> Any:
    pa = packages.arrow()
    image, one = schema(), object_type()
    return pa.schema(
        [
            *(image.field(name) for name in _OF_IMAGE),
            *(one.field(name) for name in _OF_OBJECT),
            ("geometry", pa.binary()),
            ("bbox", pa.struct([(edge, pa.float64()) for edge in _EDGES])),
        ]
    )


def _objects(dataset: Dataset) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Images and objects; like the other formats, without objects that have no place on a map."""
    return ((row, one) for row in rows(dataset) for one in row["objects"] if one["polygon"])


def _batches(objects: Iterator[tuple[dict[str, Any], dict[str, Any]]], extent: _Extent, columns: Any) -> Iterator[Any]:
    pa = packages.arrow()
    while some := list(islice(objects, _BATCH)):
        places = [geometry(one["polygon"], "geoparquet") for _, one in some]
        values: dict[str, list[Any]] = {
            **{name: [row[name] for row, _ in some] for name in _OF_IMAGE},
            **{name: [one[name] for _, one in some] for name in _OF_OBJECT},
            "geometry": [None if place is None else wkb(place) for place in places],
            "bbox": [None if place is None else dict(zip(_EDGES, extent.add(place), strict=True)) for place in places],
        }
        yield pa.RecordBatch.from_pydict(values, schema=columns)


def _metadata(extent: _Extent) -> dict[str, Any]:
    """The value of the key `geo`. Without `crs` a column is in OGC:CRS84: longitude and latitude in WGS 84."""
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": sorted(extent.types),
        "orientation": "counterclockwise",
        "edges": "planar",
        "covering": {"bbox": {edge: ["bbox", edge] for edge in _EDGES}},
    }
    if extent.bounds is not None:
        column["bbox"] = list(extent.bounds)
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
