"""Converts detected objects to the formats of other tools."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sod_client._optional import require
from sod_client._results.data import Box
from sod_client._results.files import printable

if TYPE_CHECKING:
    import pandas
    import supervision

COLUMNS = ("input_path", "page_index", "cls_id", "label", "score", "x1", "y1", "x2", "y2")
_Row = tuple[Any, ...]


def to_rows(input_path: str | None, page_index: int | None, boxes: Iterable[Box]) -> list[_Row]:
    """One row of `COLUMNS` per object."""
    return [(input_path, page_index, box["cls_id"], box["label"], box["score"], *box["coordinate"]) for box in boxes]


def to_csv(rows: Iterable[_Row], *, header: bool) -> str:
    """The rows as CSV, with the columns' names first if `header`."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    if header:
        writer.writerow(COLUMNS)
    writer.writerows(rows)
    return printable(buffer.getvalue())


def to_dataframe(rows: Iterable[_Row]) -> "pandas.DataFrame":
    """The rows as a table with `COLUMNS`.

    Raises:
        DependencyError: pandas is not installed.
    """
    pandas = require("pandas", "to_pandas", "pandas")
    return pandas.DataFrame(list(rows), columns=list(COLUMNS))


def to_supervision(boxes: Sequence[Box]) -> "supervision.Detections":
    """The objects as supervision's type: xyxy float32 [M, 4], confidence float32 [M], class_id int [M].

    Raises:
        DependencyError: supervision is not installed.
    """
    supervision = require("supervision", "to_supervision", "supervision")
    numpy = require("numpy", "to_supervision", "supervision")
    return supervision.Detections(
        xyxy=numpy.array([box["coordinate"] for box in boxes], numpy.float32).reshape(-1, 4),
        confidence=numpy.array([box["score"] for box in boxes], numpy.float32),
        class_id=numpy.array([box["cls_id"] for box in boxes], int),
        data={"class_name": numpy.array([box["label"] for box in boxes], str)},
    )


def to_coco(boxes: Iterable[Box], image_id: int | str, first_category_id: int) -> list[dict[str, Any]]:
    """The objects as entries of a COCO results file."""
    return [
        {
            "image_id": image_id,
            "category_id": box["cls_id"] + first_category_id,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": box["score"],
        }
        for box in boxes
        for x1, y1, x2, y2 in [box["coordinate"]]
    ]


def to_yolo(boxes: Iterable[Box], width: int, height: int, *, scores: bool) -> str:
    """The objects as YOLO's text, one line each; coordinates are fractions of the image's width and height."""
    lines = []
    for box in boxes:
        x1, y1, x2, y2 = box["coordinate"]
        fractions = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
        numbers = [*fractions, *([box["score"]] if scores else [])]
        lines.append(" ".join([str(box["cls_id"]), *(f"{number:.6f}" for number in numbers)]) + "\n")
    return "".join(lines)
