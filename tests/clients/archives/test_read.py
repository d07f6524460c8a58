"""Reading a dataset: in Python, and by the query of docs/archives.md."""

import re
import shutil
from pathlib import Path

import pytest
from sod_client.batch import read
from sod_client.errors import InvalidInputError, MissingFileError

from tests.clients.archives.conftest import Sod, rows
from tests.project.repository import ROOT


def test_the_query_of_the_page(sod: Sod, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    duckdb = pytest.importorskip("duckdb")
    for number, path in enumerate(sorted(images.rglob("*.jpg"))):
        day = tmp_path / f"flights/2026-06-0{number % 2 + 1}"
        day.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, day / f"tile_{number}_7.jpg")
    sod(tmp_path / "flights", tmp_path / "detections")
    monkeypatch.chdir(tmp_path)
    (query,) = re.findall(r"```sql\n(.*?)```", (ROOT / "docs/archives.md").read_text("utf-8"), re.DOTALL)
    found = duckdb.sql(query).fetchall()
    expected: dict[tuple[str, str], int] = {}
    for row in rows(tmp_path / "detections"):
        key = (Path(row["path"]).parent.name, Path(row["path"]).stem)
        expected[key] = expected.get(key, 0) + sum(one["label"] == "car" for one in row["objects"])
    assert {(day, tile): cars for day, tile, cars in found} == expected
    assert sum(expected.values()) > 0
    assert [row[:2] for row in found] == sorted(expected)


def test_read_as_images_and_objects(sod: Sod, images: Path, tmp_path: Path):
    out = tmp_path / "out"
    sod(images, out)
    table = read(out, library="pyarrow")
    assert table.to_pylist() == rows(out)
    frame = read(str(out), objects=True)
    assert list(frame.columns) == ["path", "page", "class_id", "label", "score", "x1", "y1", "x2", "y2", "polygon"]
    expected = [(row["path"], one["label"]) for row in rows(out) for one in row["objects"]]
    assert list(zip(frame["path"], frame["label"], strict=True)) == expected


def test_read_as_polars(sod: Sod, images: Path, tmp_path: Path):
    pytest.importorskip("polars")
    sod(images, tmp_path / "out")
    assert read(tmp_path / "out", library="polars").height == 12


def test_what_cannot_be_read(tmp_path: Path):
    with pytest.raises(MissingFileError, match="is no dataset of `sod batch`"):
        read(tmp_path)
    with pytest.raises(InvalidInputError, match="library must be pandas, polars or pyarrow, not 'R'"):
        read(tmp_path, library="R")  # type: ignore[arg-type]
