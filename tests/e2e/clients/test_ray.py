"""`sod batch --ray` without the address of a server: a Triton on each node of a cluster."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import DEMO
from tests.e2e.started_server import Serving
from tests.project.repository import ROOT

IMAGES = 200


def test_each_node_holds_a_triton(server: Serving, images: dict[str, bytes], tmp_path: Path):
    pytest.importorskip("ray")
    folder = tmp_path / "images"
    folder.mkdir()
    contents = list(images.values())
    for number in range(IMAGES):
        (folder / f"{number:03d}.jpg").write_bytes(contents[number % len(contents)])
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.clients.on_ray", DEMO, folder, tmp_path / "nodes"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {"code": 0, "cpus": [1, 1], "killed": 1, "left": []}, done.stderr
    words = ["batch", folder, tmp_path / "whole", "--url", server.url, "--model", DEMO, "--no_progress"]
    subprocess.run([sys.executable, "-m", "sod_client", *words], cwd=ROOT, check=True, timeout=200)
    assert content(tmp_path / "nodes") == content(tmp_path / "whole")


def content(dataset: Path) -> list[bytes]:
    return [file.read_bytes() for file in sorted(dataset.glob("images-*.parquet"))]
