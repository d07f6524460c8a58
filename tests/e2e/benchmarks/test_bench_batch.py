"""`sod bench batch --sections kills`: it starts a server and a Ray cluster, and kills each victim once."""

import json
from pathlib import Path

import pytest

from benchmarks.batch import cli
from benchmarks.batch.kills import ON_CLUSTER, VICTIMS


def test_what_is_killed_is_made_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for package in ("pyarrow", "ray"):
        pytest.importorskip(package)
    file = tmp_path / "figures.json"
    words = ["--sections", "kills", "--kills", "5", "--killed-count", "300", "--concurrency", "4"]
    cli.main([*words, "--json", str(file)])  # 1 where a fast machine has no work left for the last victims
    captured = capsys.readouterr()
    assert "| kills: files that differ from an undisturbed run | 0 | ≤ 0 | met |" in captured.out, captured.err
    found = json.loads(file.read_text())["results"]["kills"]
    assert found["rows"] == found["paths"] == 300
    assert found["asked"] == dict.fromkeys(VICTIMS, 1)
    assert found["kills"]["client"] == 1
    assert sum(found["kills"][name] for name in ON_CLUSTER) >= 1
