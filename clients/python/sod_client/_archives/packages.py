"""The packages that archives need, which are optional."""

from typing import Any

from sod_client._optional import require

_CHECKOUT = "'./clients/python[{extra}]' in a checkout of triton-sod, or else: pip install {package}"
_STORES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}


def arrow(module: str = "pyarrow") -> Any:
    """pyarrow, or one of its modules.

    Raises:
        DependencyError: it is not installed.
    """
    return require(module, "an archive's dataset", _CHECKOUT.format(extra="batch", package="pyarrow"))


def store_packages(protocol: str) -> Any:
    """fsspec, after a check that it can open addresses of this protocol.

    Raises:
        DependencyError: fsspec, or the package for this protocol, is not installed.
    """
    feature = f"reading or writing {protocol}://"
    if (package := _STORES.get(protocol)) is not None:
        extra = "s3" if package == "s3fs" else "batch"
        require(package, feature, _CHECKOUT.format(extra=extra, package=package))
    return require("fsspec", feature, _CHECKOUT.format(extra="batch", package="fsspec"))


def ray(module: str = "ray") -> Any:
    """Ray, or one of its modules.

    Raises:
        DependencyError: it is not installed.
    """
    return require(module, "detection on a Ray cluster", _CHECKOUT.format(extra="ray", package="'ray[data]'"))
