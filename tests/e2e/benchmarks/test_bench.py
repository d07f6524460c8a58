"""`sod bench --quick` as a user runs it: it starts a server and the engine alone, measures, reports and stops them."""

import json
from pathlib import Path

import psutil

from benchmarks.cli import main
from tests.e2e.conftest import DEMO
from tests.e2e.started_server import REPOSITORY


def test_a_quick_run(image: bytes, tmp_path: Path, capsys):
    file = tmp_path / "image.jpg"
    file.write_bytes(image)
    out = tmp_path / "out"
    words = ["--quick", "--models", DEMO, "--profiles", "cpu_high_performance", "--images", str(file)]
    words += ["--model-repository", str(REPOSITORY), "--threshold", "0.02", "--concurrency", "1", "8"]
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    assert main([*words, "--seconds", "0.5", "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert "1. cpu_high_performance: ensemble / engine alone, images/s at 8" in printed.out
    assert "100%" in printed.err  # the progress bar is complete

    document = json.loads((out / "results.json").read_text())
    profile = document["models"][DEMO]["load"]["profiles"]["cpu_high_performance"]
    assert profile["engine_only"]["throughput"]["8"][0] > 0
    for client in ("ensemble", "gateway", "gateway, overlay"):
        for concurrency in ("1", "8"):
            (turn,) = profile["clients"][client][concurrency]
            assert turn["requests"] >= int(concurrency)
            assert turn["errors"] == 0, turn["first_error"]
            assert turn["cpu_ms"].keys() >= {"gateway", "triton", "preprocess", "detector", "postprocess"}
    assert document["machine"]["cores"] >= 1
    assert (out / f"{DEMO}-load.png").stat().st_size > 1000
    assert (out / "report.md").read_text() in printed.out + "\n"
    left = {
        child.pid
        for child in psutil.Process().children(recursive=True)
        if "resource_tracker" not in str(child.cmdline())
    }
    assert left <= before

    # Every section is finished, so a resumed run starts nothing.
    assert main([*words, "--out", str(out), "--resume"]) == 0
    assert "starting the server" not in capsys.readouterr().err
