"""Writes objects as GeoPackage (OGC 12-128r19), a SQLite file: polygons in the scene's coordinate reference system."""

import sqlite3
import struct
import time
from contextlib import closing
from pathlib import Path

import numpy as np

from sod_client._inputs.rasters.georeference import Georeference
from sod_client._results.data import Box
from sod_client._results.files import replacing
from sod_client._scenes.geojson import counter_clockwise

_TABLE = "objects"
_OWN_SRS = 100_000  # number of a coordinate reference system that has no EPSG code
_BATCH = 10_000
_APPLICATION_ID, _VERSION = 0x47504B47, 10300  # "GPKG", 1.3.0
_SCHEMA = """
CREATE TABLE gpkg_spatial_ref_sys (
  srs_name TEXT NOT NULL, srs_id INTEGER PRIMARY KEY, organization TEXT NOT NULL,
  organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT);
CREATE TABLE gpkg_contents (
  table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE, description TEXT DEFAULT '',
  last_change DATETIME NOT NULL, min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE,
  srs_id INTEGER REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE gpkg_geometry_columns (
  table_name TEXT NOT NULL UNIQUE REFERENCES gpkg_contents(table_name), column_name TEXT NOT NULL,
  geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL REFERENCES gpkg_spatial_ref_sys(srs_id),
  z TINYINT NOT NULL, m TINYINT NOT NULL, PRIMARY KEY (table_name, column_name));
CREATE TABLE objects (
  fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, geom POLYGON, class TEXT, class_id INTEGER, score DOUBLE,
  x1 DOUBLE, y1 DOUBLE, x2 DOUBLE, y2 DOUBLE);
INSERT INTO gpkg_spatial_ref_sys VALUES
  ('Undefined Cartesian SRS', -1, 'NONE', -1, 'undefined', 'undefined Cartesian coordinate reference system'),
  ('Undefined geographic SRS', 0, 'NONE', 0, 'undefined', 'undefined geographic coordinate reference system');
"""


def write(path: Path, boxes: list[Box], georeference: Georeference) -> None:
    """Write objects to a file, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    with replacing(path) as temporary:
        try:
            with closing(sqlite3.connect(temporary)) as database, database:
                _fill(database, path.stem, boxes, georeference)
        except sqlite3.Error as error:
            raise OSError(f"{path} cannot be written: {error}") from error


def _fill(database: sqlite3.Connection, name: str, boxes: list[Box], georeference: Georeference) -> None:
    database.executescript(f"PRAGMA application_id={_APPLICATION_ID}; PRAGMA user_version={_VERSION}; {_SCHEMA}")
    insert = "INSERT OR REPLACE INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, ?)"
    wgs84 = type(georeference.crs).from_epsg(4326).to_wkt()
    database.execute(insert, ("WGS 84", 4326, "EPSG", 4326, wgs84, None))
    epsg = georeference.epsg
    srs = _OWN_SRS if epsg is None else epsg
    database.execute(insert, (georeference.name, srs, "NONE" if epsg is None else "EPSG", srs, georeference.wkt, None))
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for start in range(0, len(boxes), _BATCH):
        batch = boxes[start : start + _BATCH]
        corners = georeference.corners([box["coordinate"] for box in batch])
        low, high = np.minimum(low, corners.min(axis=(0, 1))), np.maximum(high, corners.max(axis=(0, 1)))
        database.executemany(
            "INSERT INTO objects (geom, class, class_id, score, x1, y1, x2, y2) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (_polygon(ring, srs), box["label"], box["cls_id"], box["score"], *box["coordinate"])
                for box, ring in zip(batch, corners, strict=True)
            ],
        )
    extent = [*low.tolist(), *high.tolist()] if boxes else [None] * 4
    changed = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    database.execute(
        "INSERT INTO gpkg_contents VALUES (?, 'features', ?, '', ?, ?, ?, ?, ?, ?)",
        (_TABLE, name, changed, *extent, srs),
    )
    database.execute("INSERT INTO gpkg_geometry_columns VALUES (?, 'geom', 'POLYGON', ?, 0, 0)", (_TABLE, srs))


def _polygon(corners: np.ndarray[tuple[int, ...], np.dtype[np.float64]], srs: int) -> bytes:
    """GeoPackage's header without an envelope, and the polygon as WKB; all little-endian."""
    ring = counter_clockwise(corners)
    ring = np.concatenate([ring, ring[:1]])
    return (
        struct.pack("<2sBBi", b"GP", 0, 1, srs)
        + struct.pack("<BIII", 1, 3, 1, len(ring))
        + ring.astype("<f8").tobytes()
    )
