"""What a run prints where stderr is no terminal, as in the log of a job."""

import re
from collections import Counter
from pathlib import Path

import pytest
from sod_client._archives.run import progress
from sod_client._archives.run.progress import Progress
from sod_client._archives.run.work import Outcome
from sod_client.cli import main

from tests.clients.conftest import FakeServer


def test_the_totals(images: Path, server: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["batch", str(images), str(tmp_path / "out"), "--url", server.url]) == 0
    assert re.fullmatch(r"sod: 12 images, [1-9]\d* objects in .* s \(.* images/s, .* MB/s\)\n", capsys.readouterr().err)


def test_a_line_a_minute(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    shown = Progress(lambda: 1000, is_hidden=False)
    for second in range(125):
        now[0] = 100.0 + second
        shown.step(Outcome(size=500_000), Counter({"missing": 2}))
    shown.close()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("sod: 62 of 1,000 images, 1.0 images/s, 0.5 MB/s, 2 failed (2 missing), 15:")
    assert lines[0].endswith(" left")


def test_no_progress(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "_LINE_EVERY_S", -1.0)
    Progress(lambda: 1, is_hidden=True).step(Outcome(), Counter())
    assert capsys.readouterr().err == ""
