"""`sod eval` against the shared server: the metrics of the server's own detections are perfect."""

import json
from pathlib import Path

import pytest

from benchmarks.evaluation.cli import main
from tests.e2e.conftest import FULL
from tests.e2e.started_server import Serving


@pytest.fixture
def labelled(server: Serving, images: dict[str, bytes], tmp_path: Path) -> Path:
    """Images labelled with what the server finds in them over 0.5, so that the right figures are known."""
    document = {"images": [], "annotations": [], "categories": []}
    labels = next(m for m in server.http.get("/models").json()["result"]["models"] if m["name"] == FULL)["labels"]
    document["categories"] = [{"id": i, "name": label} for i, label in enumerate(labels)]
    (tmp_path / "images").mkdir()
    for image_id, (name, image) in enumerate(images.items()):
        (tmp_path / "images" / name).write_bytes(image)
        document["images"].append({"id": image_id, "file_name": name})
        answer = server.post(image, threshold=0.5, visualize=False, model=FULL).json()
        for found in answer["result"]["detectedObjects"]:
            x1, y1, x2, y2 = found["bbox"]
            if min(x2 - x1, y2 - y1) < 1:  # random weights make slivers, which nothing overlaps by half
                continue
            document["annotations"].append(
                {
                    "id": len(document["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": found["categoryId"],
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                }
            )
    assert document["annotations"]
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("protocol", [[], ["--http"]], ids=["grpc", "http"])
def test_its_own_detections_are_all_right(server: Serving, labelled: Path, tmp_path: Path, protocol: list[str], capsys):
    out = tmp_path / "figures.json"
    options = ["--url", server.url, "--grpc", server.grpc, "--model", FULL, "--json", str(out)]
    assert main([str(labelled), *options, *protocol]) == 0
    run = json.loads(out.read_text())["runs"][FULL]
    assert run["ap50"] > 0.99
    assert run["ap"] > 0.98
    printed = capsys.readouterr()
    assert f"{FULL}, " in printed.out
    assert "images of" in printed.out
    assert "100%" in printed.err  # the progress bar's end


def test_two_models_are_compared(server: Serving, labelled: Path, tmp_path: Path, capsys):
    demo = next(m["name"] for m in server.http.get("/models").json()["result"]["models"] if m["name"] != FULL)
    plot = tmp_path / "curves.png"
    options = ["--url", server.url, "--grpc", server.grpc, "--model", FULL, "--against", demo, "--plot", str(plot)]
    assert main([str(labelled), *options]) == 0
    head = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("|"))
    assert head == f"|  | {FULL} | {demo} | difference |"
    assert plot.stat().st_size > 1000


def test_whole_images_and_slices_are_compared(server: Serving, labelled: Path, tmp_path: Path, capsys):
    out, plot = tmp_path / "figures.json", tmp_path / "curves.png"
    options = ["--url", server.url, "--model", FULL, "--against", "slices", "--slice_size", "400", "400"]
    assert main([str(labelled), *options, "--json", str(out), "--plot", str(plot)]) == 0
    runs = json.loads(out.read_text())["runs"]
    assert list(runs) == ["whole", "slices"]
    assert runs["whole"]["ap50"] > 0.99  # the labels are what the whole images gave
    assert 0 < runs["slices"]["ap50"] < 0.99
    assert "|  | whole | slices | difference |" in capsys.readouterr().out
    assert all((tmp_path / name).stat().st_size > 1000 for name in ("curves_f1.png", "curves_confusion.png"))


def test_an_absent_server_is_one_sentence(labelled: Path, free_ports, capsys):
    assert main([str(labelled), "--url", f"http://127.0.0.1:{free_ports(1)[0]}"]) == 1
    assert "sod eval: no server responds at http://127.0.0.1:" in capsys.readouterr().err


def test_an_unknown_model_is_one_sentence(server: Serving, labelled: Path, capsys):
    assert main([str(labelled), "--url", server.url, "--model", "yolo"]) == 1
    assert "there is no model yolo; the server has" in capsys.readouterr().err
