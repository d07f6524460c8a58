"""`--report` and `--also`."""

import json
import re
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from tests.clients.archives.conftest import BROKEN, LABELS, Sod, rows, write_scene
from tests.clients.conftest import jpeg


def test_the_report(sod: Sod, images: Path, tmp_path: Path):
    (images / "<b>_|.jpg").write_bytes(jpeg(50, 50))
    (images / "broken.jpg").write_bytes(BROKEN)
    assert sod(images, tmp_path / "out", "--report")[0] == 1
    found = rows(tmp_path / "out")
    counts = Counter(one["label"] for row in found for one in row["objects"])
    page = (tmp_path / "out/report.html").read_text()
    for label, count in counts.items():
        assert f"<tr><td>{label}</td><td>{count}</td>" in page
    assert "<tr><td>Failed images</td><td>1 refused</td></tr>" in page
    assert "<b>_" not in page
    assert page.count("data:image/jpeg;base64,") == page.count("<figure>") > 6
    most = max(len(row["objects"]) for row in found)
    assert re.search(rf"Most objects</h2>.*?<figcaption>[^<]*: {most} objects, mean score 0\.\d\d<", page, re.DOTALL)
    text = (tmp_path / "out/report.md").read_text()
    links = re.findall(r"!\[\]\((report/.*?)\)", text)
    assert len(links) == page.count("<figure>")
    assert all((tmp_path / "out" / link).is_file() for link in links)


def test_a_report_of_nothing(sod: Sod, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    assert sod(tmp_path / "empty", tmp_path / "out", "--report", "--also", "coco")[0] == 1
    assert "None." in (tmp_path / "out/report.md").read_text()
    assert json.loads((tmp_path / "out/coco.json").read_text()) == {"images": [], "annotations": [], "categories": []}


def test_also_coco_and_yolo(sod: Sod, images: Path, tmp_path: Path):
    (images / "flight0/0000.png").write_bytes((images / "flight0/0000.jpg").read_bytes())
    assert sod(images, tmp_path / "out", "--also", "coco", "--also", "yolo") == (0, "")
    found = rows(tmp_path / "out")
    coco = json.loads((tmp_path / "out/coco.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == [row["path"] for row in found]
    assert len(coco["annotations"]) == sum(len(row["objects"]) for row in found) > 0
    assert all(one["name"] == LABELS[one["id"]] for one in coco["categories"])
    by_image = Counter(one["image_id"] for one in coco["annotations"])
    assert [by_image[image["id"]] for image in coco["images"]] == [len(row["objects"]) for row in found]
    with tarfile.open(tmp_path / "out/labels.tar") as tar:
        names = tar.getnames()
        texts = [tar.extractfile(name) for name in names]
        lines = [len(text.read().splitlines()) for text in texts if text is not None]
    assert len(set(names)) == len(found)
    assert names[0] == f"labels{images}/flight0/0000.txt"
    assert names[1] == f"labels{images}/flight0/0000_2.txt"
    assert lines == [len(row["objects"]) for row in found]


def test_also_geojson_of_a_map(sod: Sod, tmp_path: Path):
    scene = write_scene(tmp_path / "scene.tif", "EPSG:4326", (24.0, 60.0), 0.001)
    assert sod(scene, tmp_path / "out", "--slice_infer", "--slice_size", 100, 100, "--also", "geojson")[0] == 0
    (row,) = rows(tmp_path / "out")
    assert (row["width"], row["height"], row["crs"]) == (300, 200, "EPSG:4326")
    assert row["objects"]
    one = row["objects"][0]
    assert one["polygon"][:2] == pytest.approx([24 + one["x1"] / 1000, 60 - one["y1"] / 1000], abs=1e-6)
    features = json.loads((tmp_path / "out/objects.geojson").read_text())["features"]
    assert len(features) == len(row["objects"])
    assert features[0]["geometry"]["type"] == "Polygon"
    assert features[0]["properties"]["class"] == one["label"]
