"""Where the pixels of a raster are on the earth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio import warp
from rasterio._err import CPLE_BaseError
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.transform import GCPTransformer, RPCTransformer

from sod_client.errors import NoGeoreferenceError

Coordinates = NDArray[np.float64]

_WGS84 = "EPSG:4326"


@dataclass(frozen=True)
class Georeference:
    """The coordinate reference system of a raster, and the place of its pixels in it.

    Attributes:
        crs: rasterio's, which can be pickled as WKT.
        transform: the six numbers of an affine transform (a, b, c, d, e, f) from pixels; None with the following.
        gcps: ground control points as (row, column, x, y, z), from which GDAL fits a polynomial.
        rpcs: rational polynomial coefficients of a satellite image, as rasterio has them.
    """

    crs: Any
    transform: tuple[float, ...] | None
    gcps: tuple[Any, ...] = ()
    rpcs: Any = None

    @property
    def name(self) -> str:
        """The system's code such as EPSG:32635, or else its name."""
        if (authority := self.crs.to_authority()) is not None:
            return ":".join(authority)
        quoted = str(self.crs.to_wkt()).split('"')
        return quoted[1] if len(quoted) > 1 else str(self.crs)

    @property
    def epsg(self) -> int | None:
        """The system's EPSG code, if it has one."""
        code = self.crs.to_epsg()
        return None if code is None else int(code)

    @property
    def wkt(self) -> str:
        """The system as WKT."""
        return str(self.crs.to_wkt())

    def corners(self, boxes: Sequence[Sequence[float]]) -> Coordinates:
        """The corners of boxes in the system's coordinates.

        Args:
            boxes: x1, y1, x2, y2 in pixels.

        Returns:
            float64 [N, 4, 2], x and y of the upper left, lower left, lower right and upper right corner in pixels.
        """
        of_boxes = np.array(boxes, np.float64).reshape(-1, 4)
        columns, rows = of_boxes[:, [0, 0, 2, 2]].ravel(), of_boxes[:, [1, 3, 3, 1]].ravel()
        if self.transform is not None:
            a, b, c, d, e, f = self.transform
            placed = np.stack([a * columns + b * rows + c, d * columns + e * rows + f], axis=-1)
        else:
            if self.gcps:
                points = [GroundControlPoint(*point) for point in self.gcps]
                transformer = GCPTransformer(points)
            else:
                transformer = RPCTransformer(self.rpcs)
            with transformer:
                placed = np.stack(transformer.xy(rows, columns, offset="ul"), axis=-1)
        return np.asarray(placed, np.float64).reshape(-1, 4, 2)

    def to_wgs84(self, corners: Coordinates) -> Coordinates:
        """Longitude and latitude in degrees of `corners`, float64 of the same shape; NaN where the system has none.

        Raises:
            NoGeoreferenceError: the system has no relation to WGS 84, as that of a building site.
        """
        flat = corners.reshape(-1, 2)
        try:
            longitude, latitude = warp.transform(self.crs, _WGS84, flat[:, 0].tolist(), flat[:, 1].tolist())
        except (CRSError, CPLE_BaseError) as error:
            raise NoGeoreferenceError(
                f"its coordinate reference system {self.name!r} cannot be converted to WGS 84"
            ) from error
        places = np.array([longitude, latitude], np.float64).T.reshape(corners.shape)
        places[~np.isfinite(places)] = np.nan
        longitudes = places[..., 0]
        longitudes[:] = np.where(abs(longitudes) > 180, (longitudes + 180) % 360 - 180, longitudes)
        return places


def georeference_of(dataset: Any) -> Georeference | None:
    """The georeference of an open raster: its transform, its ground control points, or its RPC; None without a CRS."""
    if dataset.crs and not dataset.transform.is_identity:
        return Georeference(dataset.crs, tuple(dataset.transform)[:6])
    points, crs = dataset.gcps
    if points and crs:
        return Georeference(crs, None, gcps=tuple((p.row, p.col, p.x, p.y, p.z) for p in points))
    if dataset.rpcs is not None:
        crs = CRS.from_epsg(4326)
        return Georeference(crs, None, rpcs=dataset.rpcs)
    return None
