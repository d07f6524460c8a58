"""`sod batch --ray` and `sod_client.ray.detect` on a cluster of local nodes."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.clients.archives.conftest import Sod, files, reply_by_content, rows, write_images
from tests.clients.conftest import FakeServer, Reply
from tests.project.repository import ROOT


def test_nodes_come_and_go(sod: Sod, tmp_path: Path, server: FakeServer):
    pytest.importorskip("ray")

    def reply(body: Any) -> Reply:
        time.sleep(0.05)
        return reply_by_content(body)

    server.reply = reply
    images = write_images(tmp_path / "many", 800)
    done = subprocess.run(
        [sys.executable, "-m", "tests.clients.archives.on_cluster", server.url, images, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["code"] == 0, done.stderr
    assert found["lost"] > 0, "the node was removed while it had work"
    assert found["statuses"] == ["ok"] * 40 + ["failed"]
    assert found["objects"] > 0
    server.reply = reply_by_content
    assert sod(images, tmp_path / "whole")[0] == 0  # the fake server prints that a killed actor hung up
    assert files(tmp_path / "cluster") == files(tmp_path / "whole")
    assert len({row["path"] for row in rows(tmp_path / "cluster")}) == 800


def test_without_a_server_or_a_cluster(sod: Sod, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from sod_client.cli import main

    monkeypatch.setattr("sod_client._cli.server_address.DEFAULT_URL", "http://127.0.0.1:9")
    assert main(["batch", str(images), str(tmp_path / "out"), "--ray", "auto"]) == 2
    monkeypatch.setitem(sys.modules, "ray", None)
    code, error = sod(images, tmp_path / "out", "--ray", "127.0.0.1:9")
    assert code == 3
    assert "detection on a Ray cluster requires ray: pip install './clients/python[ray]'" in error


def test_where_no_cluster_listens(sod: Sod, images: Path, tmp_path: Path):
    """Ray itself would try for minutes."""
    pytest.importorskip("ray")
    code, error = sod(images, tmp_path / "out", "--ray", "127.0.0.1:9")
    assert code == 3
    assert "there is no Ray cluster at 127.0.0.1:9: [Errno 111] Connection refused" in error
