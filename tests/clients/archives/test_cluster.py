"""`sod batch --ray` and `sod_client.ray.detect` on a cluster of local nodes."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sod_client._archives.cluster.nodes import Nodes
from sod_client._archives.run.settings import Detection, Server

from tests.clients.archives.conftest import Sod, files, reply_by_content, rows, write_images
from tests.clients.conftest import FakeServer, Reply
from tests.project.repository import ROOT

IMAGES = 160
INFORMATION = {"METADATA": "Metadata-Version: 2.1\nName: triton-sod\nVersion: 9\n"}
INFORMATION["entry_points.txt"] = "[sod.commands]\nserve = tests.clients.archives.stand_in_launcher:main\n"


def test_nodes_come_and_go(sod: Sod, tmp_path: Path, server: FakeServer):
    pytest.importorskip("ray")

    def reply(body: Any) -> Reply:
        time.sleep(0.05)
        return reply_by_content(body)

    server.reply = reply
    images = write_images(tmp_path / "many", IMAGES)
    found, errors = on_cluster(server.url, images, tmp_path)
    assert found["gateway"]["code"] == 0, errors
    assert found["gateway"]["lost"] > 0, "the node was removed while it had work"
    assert found["statuses"] == ["ok"] * 40 + ["failed"]
    assert found["objects"] > 0
    server.reply = reply_by_content
    assert sod(images, tmp_path / "whole-gateway")[0] == 0  # the server prints that a killed actor hung up
    assert files(tmp_path / "gateway") == files(tmp_path / "whole-gateway")
    assert len({row["path"] for row in rows(tmp_path / "gateway")}) == IMAGES

    assert found["nodes"]["code"] == found["whole"] == 0, errors
    # One before and one after the actor was killed; each has ended.
    assert found["nodes"]["servers"] == [{"cpus": 1, "runs": False}] * 2
    assert files(tmp_path / "nodes") == files(tmp_path / "whole")
    assert len({row["path"] for row in rows(tmp_path / "nodes")}) == IMAGES
    assert re.search(r"note: node fails \(.*\): the local server did not start: no model can be served; the", errors)
    assert re.search(r'note: node other \(.*\): it has the labels \["ship"\], and node .* has \["ped', errors)
    assert found["none"] == found["gpu"] == 3
    assert "no node of the Ray cluster took an actor with all its CPUs and its GPUs for 1 s: there is none" in errors
    assert re.search(r"sod: node fails \(.*\): the local server did not start: no model can be served\n", errors)
    assert found["own"] == {"statuses": ["failed"] + ["ok"] * 40, "servers": [{"cpus": 1, "runs": False}]}


def on_cluster(url: str, images: Path, folder: Path) -> tuple[Any, str]:
    """What on_cluster.py prints, and its errors."""
    information = folder / "site/triton_sod-9.dist-info"
    information.mkdir(parents=True)
    for name, content in INFORMATION.items():
        (information / name).write_text(content)
    site = str(information.parent)
    done = subprocess.run(
        [sys.executable, "-m", "tests.clients.archives.on_cluster", url, images, folder, site],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([site, str(ROOT), str(ROOT / "clients/python")]),
            "STAND_IN_FILE": str(Path(site) / "servers"),
        },
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_where_the_cluster_or_an_option_is_missing(
    sod: Sod, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    from sod_client.cli import main

    code, error = sod(images, tmp_path / "out", "--ray", "auto", "--ray-cpus", "2")
    assert code == 2
    assert "--ray-cpus is for the servers that nodes start: it needs --ray, and no --url" in error
    assert main(["batch", str(images), str(tmp_path / "out"), "--ray", "auto", "--device", "gpu:1"]) == 2
    assert "Ray chooses the GPUs of a node: --device gpu, not gpu:1" in capsys.readouterr().err
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


@pytest.mark.parametrize(
    ("given", "cpus", "asked"),
    [
        (Server(), None, {"num_cpus": 8, "num_gpus": 2}),
        (Server(device="gpu"), 4, {"num_cpus": 4, "num_gpus": 2}),
        (Server(device="cpu"), 12, {"num_cpus": 8, "num_gpus": 0}),
        (Server(["http://gpu1:8080"]), None, {"num_cpus": 1}),
    ],
)
def test_what_an_actor_asks_a_node_for(given: Server, cpus: int | None, asked: dict[str, int]):
    pytest.importorskip("ray")
    nodes = Nodes(given, Detection(), cpus)
    assert nodes._resources({"CPU": 8, "GPU": 2}) == asked
    assert nodes._resources({"GPU": 2}) is None
    assert (nodes._resources({"CPU": 8}) is None) == (given.device == "gpu")
