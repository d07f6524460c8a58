"""Objects in the forms of other tools."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sod_client._optional import need

if TYPE_CHECKING:
    import pandas
    import supervision

    from sod_client.result import Box

COLUMNS = ("input_path", "page_index", "cls_id", "label", "score", "x1", "y1", "x2", "y2")
_Row = tuple[Any, ...]


def rows(input_path: str | None, page_index: int | None, boxes: Iterable["Box"]) -> list[_Row]:
    """A row of `COLUMNS` an object."""
    return [(input_path, page_index, box["cls_id"], box["label"], box["score"], *box["coordinate"]) for box in boxes]


def csv_text(table: Iterable[_Row], *, header: bool) -> str:
    """The rows as CSV."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    if header:
        writer.writerow(COLUMNS)
    writer.writerows(table)
    return buffer.getvalue()


def dataframe(table: Sequence[_Row]) -> "pandas.DataFrame":
    """The rows as a table."""
    pandas = need("pandas", "to_pandas", "pandas")
    return pandas.DataFrame(list(table), columns=list(COLUMNS))


def supervision_detections(boxes: Sequence["Box"]) -> "supervision.Detections":
    """As supervision has them: xyxy float32 [M, 4], confidence float32 [M], class_id int [M]."""
    supervision = need("supervision", "to_supervision", "supervision")
    numpy = need("numpy", "to_supervision", "supervision")
    return supervision.Detections(
        xyxy=numpy.array([box["coordinate"] for box in boxes], numpy.float32).reshape(-1, 4),
        confidence=numpy.array([box["score"] for box in boxes], numpy.float32),
        class_id=numpy.array([box["cls_id"] for box in boxes], int),
        data={"class_name": numpy.array([box["label"] for box in boxes], str)},
    )


def coco(boxes: Iterable["Box"], image_id: int | str, first_category_id: int) -> list[dict[str, Any]]:
    """Entries of a COCO results file."""
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


def yolo_text(boxes: Iterable["Box"], width: int, height: int, *, scores: bool) -> str:
    """A line an object."""
    lines = []
    for box in boxes:
        x1, y1, x2, y2 = box["coordinate"]
        shares = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
        numbers = [*shares, *([box["score"]] if scores else [])]
        lines.append(" ".join([str(box["cls_id"]), *(f"{number:.6f}" for number in numbers)]) + "\n")
    return "".join(lines)
