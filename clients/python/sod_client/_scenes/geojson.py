"""Writes objects as GeoJSON (RFC 7946): polygons in WGS 84, with the scene's own coordinates in the properties."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sod_client._inputs.rasters.georeference import Coordinates, Georeference
from sod_client._results.data import Box
from sod_client._results.files import replacing

_BATCH = 10_000
_DEGREES = 9  # decimals; 0.1 mm
_CRS_DECIMALS = 4  # of metres or feet


def write(path: Path, boxes: list[Box], georeference: Georeference) -> None:
    """Write objects to a file.

    Raises:
        OSError: the file cannot be written.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(b'{"type": "FeatureCollection", "features": [')
        separator = b"\n"
        for feature in features(boxes, georeference):
            file.write(separator + json.dumps(feature, ensure_ascii=False).encode("utf-8", "backslashreplace"))
            separator = b",\n"
        file.write(b"\n]}\n")


def features(boxes: list[Box], georeference: Georeference) -> Iterator[dict[str, Any]]:
    """The features. An object where WGS 84 cannot express the scene's coordinates has no geometry."""
    name = georeference.name
    decimals = _DEGREES if georeference.crs.is_geographic else _CRS_DECIMALS
    for start in range(0, len(boxes), _BATCH):
        batch = boxes[start : start + _BATCH]
        corners = georeference.corners([box["coordinate"] for box in batch])
        places = georeference.to_wgs84(corners)
        for box, own, place in zip(batch, corners, places, strict=True):
            yield {
                "type": "Feature",
                "geometry": _geometry(place),
                "properties": {
                    "class": box["label"],
                    "class_id": box["cls_id"],
                    "score": box["score"],
                    "bbox": box["coordinate"],
                    "crs": name,
                    "crs_coordinates": np.round(own, decimals).tolist(),
                },
            }


def _geometry(place: Coordinates) -> dict[str, Any] | None:
    """A polygon; a MultiPolygon if the object lies across the antimeridian; None if a corner has no coordinates."""
    if not np.isfinite(place).all():
        return None
    if np.ptp(place[:, 0]) <= 180:
        return {"type": "Polygon", "coordinates": [_ring(place)]}
    east = place.copy()
    east[east[:, 0] < 0, 0] += 360
    halves = [_clipped(east, west=True), _clipped(east, west=False) - np.array([360.0, 0.0])]
    return {"type": "MultiPolygon", "coordinates": [[_ring(half)] for half in halves if len(half) > 2]}


def counter_clockwise(ring: Coordinates) -> Coordinates:
    """The corners of an outer ring, float64 [N, 2], in the order that RFC 7946 wants."""
    near = ring - ring[0]  # else the products of an object of decimetres differ by less than their rounding
    following = np.roll(near, -1, axis=0)
    area = np.sum(near[:, 0] * following[:, 1] - following[:, 0] * near[:, 1])
    return ring[::-1] if area < 0 else ring


def _clipped(ring: Coordinates, *, west: bool) -> Coordinates:
    """The part of a ring with longitudes from 0 to 360 on one side of the antimeridian (Sutherland and Hodgman)."""
    kept: list[Any] = []
    for one, other in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        is_inside, enters = (one[0] <= 180) == west, (other[0] <= 180) == west
        if is_inside:
            kept.append(one)
        if is_inside != enters:
            share = (180 - one[0]) / (other[0] - one[0])
            kept.append(one + share * (other - one))
    return np.array(kept, np.float64).reshape(-1, 2)


def _ring(place: Coordinates) -> list[list[float]]:
    corners: list[list[float]] = np.round(counter_clockwise(place), _DEGREES).tolist()
    return [*corners, corners[0]]
