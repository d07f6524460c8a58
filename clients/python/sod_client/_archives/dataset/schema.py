"""The columns of the dataset: one row an image."""

from dataclasses import dataclass, field
from typing import Any

from sod_client._archives import packages

OK = "ok"
FAILED = "failed"
GONE = "gone"
"""Of a path that has no rows any more; only in parts that were not compacted."""


@dataclass(frozen=True)
class Row:
    """One image.

    Attributes:
        path: its path or URL, by which rows are sorted and known.
        page: page of a PDF or frame of a TIFF, from 0; None for other images.
        size: bytes of the file.
        version: what tells whether the file changed: the time of its last change in nanoseconds, or an ETag.
        sha256: of the file's content, in hexadecimal digits; None if it was not read.
        status: `OK`, `FAILED` or `GONE`.
        error_kind: missing, unreadable, fetch, refused (by the server, 4xx) or server (5xx).
        error: the sentence.
        width: of the image in pixels.
        height: of the image in pixels.
        crs: the coordinate reference system of a georeferenced image.
        objects: dicts with the fields of `object_type`.
    """

    path: str
    page: int | None
    size: int | None
    version: str | None
    sha256: str | None
    status: str
    error_kind: str | None = None
    error: str | None = None
    width: int | None = None
    height: int | None = None
    crs: str | None = None
    objects: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Constants:
    """The columns that are the same in all rows of a run.

    Attributes:
        model: the model's name.
        model_sha256: of the model's file; None if the server does not tell it.
        profile: the server's profile; None if it does not tell it.
        thresholds: as JSON: a number, numbers by class id, or null for the model's default.
    """

    model: str
    model_sha256: str | None
    profile: str | None
    thresholds: str


def object_type() -> Any:
    """Of one object: class_id, label, score, x1 to y2 in pixels, polygon (longitude, latitude of 4 corners)."""
    pa = packages.arrow()
    return pa.struct(
        [
            ("class_id", pa.int32()),
            ("label", pa.string()),
            ("score", pa.float32()),
            *((edge, pa.float32()) for edge in ("x1", "y1", "x2", "y2")),
            ("polygon", pa.list_(pa.float64())),
        ]
    )


def schema() -> Any:
    """The schema of the dataset's files."""
    pa = packages.arrow()
    return pa.schema(
        [
            pa.field("path", pa.string(), nullable=False),
            ("page", pa.int32()),
            ("size", pa.int64()),
            ("version", pa.string()),
            ("sha256", pa.string()),
            pa.field("status", pa.string(), nullable=False),
            ("error_kind", pa.string()),
            ("error", pa.string()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("crs", pa.string()),
            ("model", pa.string()),
            ("model_sha256", pa.string()),
            ("profile", pa.string()),
            ("thresholds", pa.string()),
            ("objects", pa.list_(object_type())),
        ]
    )


def table(rows: list[Row], constants: Constants) -> Any:
    """Rows as a table, sorted by path and page."""
    pa = packages.arrow()
    ordered = sorted(rows, key=lambda row: (row.path, row.page or 0))
    shared = vars(constants)
    columns = {}
    for one in schema():
        values = (
            [shared[one.name]] * len(ordered) if one.name in shared else [getattr(row, one.name) for row in ordered]
        )
        columns[one.name] = pa.array(values, one.type)
    return pa.table(columns, schema=schema())


def text(path: str) -> str:
    """A name that UTF-8 can encode: bytes of a file name that are not UTF-8 become escapes."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return path.encode("utf-8", "backslashreplace").decode()
    return path
