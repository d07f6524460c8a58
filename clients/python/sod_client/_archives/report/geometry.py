"""The place of an object on the map."""

from typing import Any

from sod_client.errors import DependencyError


def geometry(polygon: list[float], format_: str) -> dict[str, Any] | None:
    """An object's polygon in WGS 84 as a geometry of GeoJSON, counter-clockwise.

    A MultiPolygon if the object lies across the antimeridian; None if WGS 84 cannot express a corner.

    Args:
        polygon: longitude and latitude of the four corners.
        format_: of `--also`, for the error.

    Raises:
        DependencyError: rasterio, or NumPy, is not installed.
    """
    try:
        import numpy as np  # noqa: PLC0415 - optional, as the following

        from sod_client._scenes.geojson import _geometry  # noqa: PLC0415
    except ImportError as error:
        raise DependencyError(
            f"--also {format_} of georeferenced images requires rasterio: pip install rasterio"
        ) from error
    return _geometry(np.array(polygon, np.float64).reshape(4, 2))
