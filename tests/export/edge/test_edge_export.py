"""`python -m export --target edge`: the folder, the checks against Paddle, and what cannot be done."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from export.cli import main
from export.edge.runtime import edge_detector
from export.edge.web_app import CPU_FILES, GPU_FILES, WebApp, find_web_app
from export.precision import LIMITS, Limits, Precision
from export.verification.images import synthetic_image
from tests.export.conftest import ROOT

NEVER = Limits(0.0, 0.0, 1.0, -1.0)
FILES = ["labels.json", "model.onnx", "model.ort"]
STATIC = ROOT / "export" / "edge" / "app" / "static"


@pytest.fixture
def base(small_model: Path, tmp_path: Path) -> list[str]:
    options = ["--model_dir", str(small_model), "--target", "edge", "--no-app"]
    return [*options, "--output_dir", str(tmp_path / "r"), "--edge_dir", str(tmp_path / "edge")]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_paddle_model_becomes_a_folder(
    base: list[str], tmp_path: Path, image_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*base, "--images", str(image_file)]) == 0
    said = capfd.readouterr()
    assert sorted(Path(line).name for line in said.out.split()) == FILES
    rows = [line.strip() for line in said.err.splitlines() if "in ONNX Runtime" in line and line.endswith(" passed")]
    assert [row.split()[0] for row in rows] == ["model.onnx", "edge", "edge"], "both files are compared after NMS"
    assert names(tmp_path / "edge") == FILES
    assert not (tmp_path / "r").exists(), "Triton's repository is not touched"
    about = json.loads((tmp_path / "edge" / "labels.json").read_text())
    assert about["labels"] == ["pedestrian", "people", "bicycle"]
    assert (about["model"], about["precision"], about["input_size"]) == ("PP-YOLOE_plus_SOD-tiny", "fp32", [96, 96])
    found = edge_detector(tmp_path / "edge" / "model.ort")(synthetic_image(120, 200))
    assert len(found) > 0
    assert found.class_ids.max() < 3


@pytest.mark.parametrize(("precision", "kind"), [("fp16", "Conv"), ("int8", "DequantizeLinear")])
def test_smaller_precisions(base: list[str], tmp_path: Path, precision: str, kind: str) -> None:
    for seed in range(11):
        cv2.imwrite(str(tmp_path / f"{seed}.png"), synthetic_image(120, 160, seed))
    images = [str(path) for path in sorted(tmp_path.glob("*.png"))]
    assert main([*base, "--precision", precision, "--images", *images]) == 0
    graph = onnx.load(tmp_path / "edge" / "model.onnx").graph
    small = onnx.TensorProto.FLOAT16 if precision == "fp16" else onnx.TensorProto.INT8
    weights = [tensor for tensor in graph.initializer if tensor.data_type == small]
    assert sum(int(np.prod(tensor.dims)) for tensor in weights) > 1000
    assert any(node.op_type == kind for node in graph.node)
    assert json.loads((tmp_path / "edge" / "labels.json").read_text())["precision"] == precision


def test_what_fails_its_check_is_not_written(
    base: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(LIMITS, Precision.FP16, NEVER)
    assert main([*base, "--precision", "fp16"]) == 2
    said = capfd.readouterr().err.splitlines()[-1]
    assert said.startswith("export failed: PP-YOLOE_plus_SOD-tiny: edge fp16: differs too much from Paddle Inference")
    assert not (tmp_path / "edge").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--name", "absent"], "model.onnx is missing: export the model with the target onnx first"),
        (["--name", "x", "--precision", "bf16"], "target edge has no precision bf16: it has fp32, fp16, int8"),
        (["--name", "x", "--load"], "--load is not for the target edge"),
        (["--model", "all", "--edge_dir", "x"], "--edge_dir is one folder for one model"),
        (
            ["--name", "PP-YOLOE_plus_SOD-demo", "--precision", "int8"],
            "INT8 is calibrated on images, and 0 are too few",
        ),
    ],
)
def test_impossible_requests(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--target", "edge", "--no-app", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_the_app_lists_its_files_with_a_version_of_their_content(tmp_path: Path) -> None:
    files = {path.name: path for path in STATIC.iterdir()}
    for name in (*CPU_FILES, *GPU_FILES, *FILES):
        (tmp_path / name).write_text(name)
    app = WebApp(files | {name: tmp_path / name for name in (*CPU_FILES, *GPU_FILES)})
    versions = []
    for content in ("one", "two", "two"):
        (tmp_path / "labels.json").write_text(content)
        app.install({name: tmp_path / name for name in FILES}, tmp_path / "served")
        listing = (tmp_path / "served" / "files.js").read_text()
        listed = json.loads(listing.removeprefix("self.EDGE = ").rstrip(";\n"))
        versions.append(listed["version"])
    assert versions[0] != versions[1] == versions[2]
    assert listed["webgpu"] == list(GPU_FILES)
    served = set(names(tmp_path / "served"))
    assert served - set(listed["files"]) == {"sw.js", "model.ort", *GPU_FILES}
    assert set(listed["files"]) <= served


def test_every_file_that_the_app_names_exists() -> None:
    page, manifest = (STATIC / "index.html").read_text(), json.loads((STATIC / "manifest.webmanifest").read_text())
    named = [part.split('"')[0] for word in ("src=", "href=") for part in page.split(f'{word}"')[1:]]
    named += [icon["src"] for icon in manifest["icons"]]
    assert [name for name in named if name != "files.js" and not (STATIC / name).is_file()] == []
    for icon in manifest["icons"]:
        side = int(icon["sizes"].split("x")[0])
        assert cv2.imread(str(STATIC / icon["src"])).shape == (side, side, 3)


def test_the_lock_pins_by_hash_and_names_no_host() -> None:
    lock = json.loads((STATIC.parent / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert "node_modules/onnxruntime-web" in packages
    assert all(
        package["integrity"].startswith("sha512-") and "resolved" not in package for package in packages.values()
    )


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (None, "npm is missing, which installs ONNX Runtime Web"),
        (
            "echo; echo 'npm error network down' >&2; exit 3",
            "npm cannot install ONNX Runtime Web: npm error network down",
        ),
        ("exit 3", "npm cannot install ONNX Runtime Web: exit status 3"),
    ],
)
def test_without_npm_there_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, said: str
) -> None:
    if script is not None:
        npm = tmp_path / "npm"
        npm.write_text(f"#!/bin/sh\n{script}\n")
        npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    reason = find_web_app(tmp_path / "cache")
    assert isinstance(reason, str)
    assert said in reason
    assert not (tmp_path / "cache" / "installed-lock.json").exists()


def test_what_is_installed_is_not_installed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: pytest.fail(f"{name} was looked for"))
    (tmp_path / "installed-lock.json").write_bytes((STATIC.parent / "package-lock.json").read_bytes())
    app = find_web_app(tmp_path)
    assert isinstance(app, WebApp)
    assert set(CPU_FILES) < set(app.files)
