"""The dataset of `sod batch` as a table of pandas, Polars or pyarrow.

>>> from sod_client.batch import read
>>> cars = read("detections", objects=True).query("label == 'car'")  # doctest: +SKIP
"""

import os
from typing import Any, Literal

from sod_client._archives import packages
from sod_client._archives.dataset.dataset import Dataset
from sod_client._archives.dataset.place import place_of
from sod_client._archives.dataset.schema import schema
from sod_client._optional import require
from sod_client.errors import InvalidInputError, MissingFileError

__all__ = ["Library", "read"]

Library = Literal["pandas", "polars", "pyarrow"]


def read(output: str | os.PathLike[str], *, objects: bool = False, library: Library = "pandas") -> Any:
    """Read a dataset, also while `sod batch` writes it and after an interruption.

    Args:
        output: the OUTPUT of `sod batch`.
        objects: whether to give one row per object, with the columns path, page, class_id, label, score, x1, y1, x2, y2
            and polygon, rather than one row per image with the columns of docs/archives.md.
        library: whose table to return.

    Returns:
        A `pandas.DataFrame`, `polars.DataFrame` or `pyarrow.Table`, sorted by path and page.

    Raises:
        InvalidInputError: the library is none of these.
        MissingFileError: there is no dataset.
        DependencyError: a package is missing; the text names it.
        OutputError: a file cannot be read.
    """
    if library not in ("pandas", "polars", "pyarrow"):
        raise InvalidInputError(f"library must be pandas, polars or pyarrow, not {library!r}")
    pa = packages.arrow()
    packages.arrow("pyarrow.parquet")
    dataset = Dataset(place_of(os.fspath(output)))
    if dataset.run() is None:
        raise MissingFileError(f"{os.fspath(output)} is no dataset of `sod batch`")
    table = pa.concat_tables([schema().empty_table(), *dataset.tables()])
    if objects:
        table = _objects(table)
    if library == "pandas":
        require("pandas", "reading a dataset as pandas", "pandas")
        return table.to_pandas()
    if library == "polars":
        return require("polars", "reading a dataset as Polars", "polars").from_arrow(table)
    return table


def _objects(table: Any) -> Any:
    pa, pc = packages.arrow(), packages.arrow("pyarrow.compute")
    listed = table.column("objects").combine_chunks()
    images = table.select(["path", "page"]).take(pc.list_parent_indices(listed))
    values = listed.flatten()
    fields = {field.name: values.field(position) for position, field in enumerate(values.type)}
    return pa.table({**{name: images.column(name) for name in ("path", "page")}, **fields})
