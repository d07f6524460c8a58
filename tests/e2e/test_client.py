"""The Python client and the `sod` command against the real server."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from sod_client import create_pipeline

from sod.image import decode_image
from tests.e2e.serving import process_environment

SOD = Path(sys.executable).parent / "sod"


@pytest.fixture
def file(tmp_path, picture):
    path = tmp_path / "scene.jpg"
    path.write_bytes(picture)
    return path


def test_predict_saves_json_and_overlay(server, file, tmp_path):
    with create_pipeline(url=server.url) as pipeline:
        (result,) = pipeline.predict(str(file), threshold=0.5)
    assert result.boxes
    saved = json.loads(result.save_to_json(tmp_path / "out").read_text())
    assert saved["boxes"] == result.boxes
    overlay = result.save_to_img(tmp_path / "out")
    assert overlay.name == "scene_res.jpg"
    assert cv2.imread(str(overlay)).shape == decode_image(file.read_bytes()).shape


def test_the_command_prints_and_saves(server, file, tmp_path):
    command = [SOD, "predict", file, "--threshold", "0.4", "--save_path", tmp_path / "out", "--json"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=process_environment(SOD_URL=server.url)
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["res"]["boxes"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["scene_res.jpg", "scene_res.json"]


def test_the_command_reports_the_servers_sentence(server, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"not a picture")
    done = subprocess.run(
        [SOD, "predict", tmp_path / "bad.jpg", "--url", server.url], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "not a picture we can read" in done.stderr
    assert "Traceback" not in done.stderr
