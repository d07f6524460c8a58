"""Lists of images: the lines of a text file, or a column of a CSV or Parquet file."""

import csv
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from sod_client._archives import packages
from sod_client._archives.inputs import stores
from sod_client._archives.inputs.source import FetchError
from sod_client.errors import InvalidInputError, MissingFileError, SodError, UnreadableFileError

SUFFIXES = (".txt", ".csv", ".parquet")
COLUMNS = ("path", "url", "image", "file", "filename", "file_name", "image_path", "uri")
"""The names of columns with images, the first of which is taken."""
_BATCH = 4096


def is_manifest(path: str) -> bool:
    """Whether the name is that of a list of images."""
    return path.lower().endswith(SUFFIXES)


def names_in(path: str, column: str | None) -> Iterator[str]:
    """The paths and URLs in a manifest; relative ones are completed by the manifest's folder.

    Raises:
        SodError: the manifest cannot be read, or has no column with images.
    """
    folder = path.rsplit("/", 1)[0] + "/" if "/" in path else ""
    readers = {".txt": _lines, ".csv": _csv, ".parquet": _parquet}
    try:
        with _opened(path) as file:
            for name in readers[os.path.splitext(path)[1].lower()](file, column):  # noqa: PTH122
                is_whole = stores.protocol_of(name) is not None or name.startswith(("/", "file://"))
                yield name if is_whole else folder + name
    except (SodError, GeneratorExit):
        raise
    except FileNotFoundError as error:
        raise MissingFileError("no such manifest") from error
    except UnicodeDecodeError as error:
        raise UnreadableFileError("the manifest is not text in UTF-8") from error
    except OSError as error:
        raise UnreadableFileError(f"the manifest cannot be read: {error.strerror or stores.short(error)}") from error
    except Exception as error:  # those of pyarrow and of fsspec's file systems
        raise UnreadableFileError(f"the manifest cannot be read: {stores.short(error)}") from error


def _lines(file: IO[bytes], _column: str | None) -> Iterator[str]:
    with io.TextIOWrapper(file, "utf-8-sig") as lines:
        for line in lines:
            name = line.strip()
            if name and not name.startswith("#"):
                yield name


def _csv(file: IO[bytes], column: str | None) -> Iterator[str]:
    with io.TextIOWrapper(file, "utf-8-sig", newline="") as lines:
        rows = csv.reader(lines)
        header = next(rows, [])
        position = header.index(_column(header, column))
        for row in rows:
            if len(row) > position and row[position]:
                yield row[position]


def _parquet(file: IO[bytes], column: str | None) -> Iterator[str]:
    parquet = packages.arrow("pyarrow.parquet")
    table = parquet.ParquetFile(file)
    name = _column(table.schema_arrow.names, column)
    for batch in table.iter_batches(_BATCH, columns=[name]):
        yield from (str(one) for one in batch.column(0).to_pylist() if one)


def _column(names: list[str], wanted: str | None) -> str:
    for name in (wanted,) if wanted is not None else COLUMNS:
        if name in names:
            return name
    if wanted is None:
        raise InvalidInputError(f"no column is named {', '.join(COLUMNS[:-1])} or {COLUMNS[-1]}: name it with --column")
    raise InvalidInputError(f"there is no column {wanted!r}, only {', '.join(map(repr, names)) or 'none'}")


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    protocol = stores.protocol_of(path)
    if protocol is None:
        with open(stores.local_path(path), "rb") as file:  # noqa: PTH123
            yield file
        return
    try:
        content = stores.read(path)
    except FetchError as error:
        raise FetchError(f"the manifest {error.sentence}") from error
    yield io.BytesIO(content)
