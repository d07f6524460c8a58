"""`--also`: the objects of a dataset as GeoJSON, GeoParquet, a COCO data set, or YOLO's labels; each in a stream."""

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import IO, Any

from sod_client._archives.dataset.dataset import Dataset
from sod_client._archives.report import geoparquet
from sod_client._archives.report.geometry import geometry
from sod_client._archives.report.rows import rows
from sod_client._results import convert
from sod_client._results.data import Box


def write(dataset: Dataset, format_: str) -> str:
    """Write the objects in one of `FORMATS`; returns the file's name in the dataset.

    Raises:
        OutputError: the dataset cannot be read or written.
    """
    name, write_format = FORMATS[format_]
    with dataset.place.new_file(name) as temporary:
        write_format(dataset, temporary)
    return name


def _geojson(dataset: Dataset, path: Path) -> None:
    """RFC 7946: the objects of images that have a place on a map."""
    with path.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        _write_list(
            file,
            (
                {
                    "type": "Feature",
                    "geometry": geometry(one["polygon"], "geojson"),
                    "properties": {
                        "path": row["path"],
                        "page": row["page"],
                        "class": one["label"],
                        "class_id": one["class_id"],
                        "score": one["score"],
                        "bbox": [one[edge] for edge in ("x1", "y1", "x2", "y2")],
                        "crs": row["crs"],
                    },
                }
                for row in rows(dataset)
                for one in row["objects"]
                if one["polygon"]
            ),
        )
        file.write("]}\n")


def _coco(dataset: Dataset, path: Path) -> None:
    """A COCO data set, whose annotations have a score; the ids of images and annotations count from 1."""
    labels: dict[int, str] = {}
    with path.open("w", encoding="utf-8") as file:
        file.write('{"images": [')
        images = (row for row in rows(dataset) if row["status"] == "ok")
        _write_list(
            file,
            (
                {
                    "id": number,
                    "file_name": row["path"],
                    **({} if row["page"] is None else {"page": row["page"]}),
                    "width": row["width"],
                    "height": row["height"],
                }
                for number, row in enumerate(images, 1)
            ),
        )
        file.write('], "annotations": [')
        _write_list(file, _annotations(dataset, labels))
        file.write('], "categories": [')
        _write_list(file, ({"id": number, "name": labels[number]} for number in sorted(labels)))
        file.write("]}\n")


def _annotations(dataset: Dataset, labels: dict[int, str]) -> Iterable[dict[str, Any]]:
    count = 0
    images = (row for row in rows(dataset) if row["status"] == "ok")
    for number, row in enumerate(images, 1):
        for entry, one in zip(convert.to_coco(_boxes(row), number, 0), row["objects"], strict=True):
            count += 1
            labels[one["class_id"]] = one["label"]
            yield {"id": count, **entry, "area": entry["bbox"][2] * entry["bbox"][3], "iscrowd": 0}


def _yolo(dataset: Dataset, path: Path) -> None:
    """A tar of one text per image, because an archive may have millions of images."""
    used: set[str] = set()
    prefix = ""
    with tarfile.open(path, "w") as tar:
        for row in rows(dataset):
            if row["status"] != "ok" or not row["width"]:
                continue
            stem = _stem(row)
            # Names that differ in their suffix alone, such as a.jpg and a.png, follow one another.
            if prefix != (prefix := stem.split(".", 1)[0]):
                used.clear()
            name = stem
            while name in used:
                name += "_2"
            used.add(name)
            text = convert.to_yolo(_boxes(row), row["width"], row["height"], scores=False).encode()
            info = tarfile.TarInfo(f"labels/{name}.txt")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))


def _stem(row: dict[str, Any]) -> str:
    """The image's path without its suffix, relative and below the folder of the labels."""
    path = PurePosixPath(re.sub(r"^[a-z][a-z0-9+.-]*://", "", row["path"], flags=re.IGNORECASE))
    parts = [part for part in path.with_suffix("").parts if part not in ("/", "..")]
    return "/".join(parts) + ("" if row["page"] is None else f"_{row['page']}")


def _boxes(row: dict[str, Any]) -> list[Box]:
    return [
        Box(
            cls_id=one["class_id"],
            label=one["label"],
            score=one["score"],
            coordinate=[one["x1"], one["y1"], one["x2"], one["y2"]],
        )
        for one in row["objects"]
    ]


def _write_list(file: IO[str], values: Iterable[Any]) -> None:
    separator = "\n"
    for value in values:
        file.write(separator + json.dumps(value, ensure_ascii=False))
        separator = ",\n"
    file.write("\n")


FORMATS: dict[str, tuple[str, Callable[[Dataset, Path], None]]] = {
    "geojson": ("objects.geojson", _geojson),
    "geoparquet": ("objects.parquet", geoparquet.write),
    "coco": ("coco.json", _coco),
    "yolo": ("labels.tar", _yolo),
}
