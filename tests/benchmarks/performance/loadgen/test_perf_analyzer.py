"""perf_analyzer: its input data, its report, and errors of its installation."""

import base64
import struct
import subprocess

import numpy as np
import pytest

from benchmarks.performance.errors import BenchmarkError
from benchmarks.performance.loadgen import perf_analyzer

HEAD = (
    "Concurrency,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,Server Compute Input,"
    "Server Compute Infer,Server Compute Output,Client Recv,p50 latency,p90 latency,p95 latency,p99 latency"
)


def test_its_report_in_milliseconds():
    read = perf_analyzer.read_csv(f"{HEAD}\n8,10.5,100,2000,300,400,90000,500,60,97000,99000,100000,101000\n")
    assert read["throughput"] == pytest.approx(8 / 0.09336, abs=1e-3)  # not the figure in the report
    assert read["queue"] == 0.3
    assert read["compute_infer"] == 90
    assert (read["p50"], read["p99"]) == (97, 101)


@pytest.mark.parametrize("text", ["", "no,report\n1,2\n", HEAD, f"{HEAD}\n8,10.5,100\n", HEAD + "\n1" + 12 * ",0"])
def test_another_report_is_refused(text):
    with pytest.raises(BenchmarkError, match="cannot be read"):
        perf_analyzer.read_csv(text)


def test_a_string_tensor_begins_with_its_length():
    (step,) = perf_analyzer.ensemble_data(b"image", 3, 0.5)["data"]
    raw = base64.b64decode(step["image"]["content"]["b64"])
    assert struct.unpack("<I", raw[:4]) == (5,)
    assert raw[4:] == b"image"
    assert step["score_threshold"] == [0.5, 0.5, 0.5]


def test_pixels_are_sent_unchanged():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    (step,) = perf_analyzer.detector_data(pixels)["data"]
    assert base64.b64decode(step["pixels"]["content"]["b64"]) == pixels.tobytes()
    assert step["pixels"]["shape"] == [2, 4, 3]


def test_a_failed_download_is_reported(tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, stdout="no matching distribution")
    monkeypatch.setattr(perf_analyzer.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(
        BenchmarkError, match=r"cannot be installed: its wheels cannot be downloaded: no matching distribution"
    ):
        perf_analyzer.install(tmp_path / "cache")


def test_a_program_that_does_not_start_is_reported(tmp_path):
    binary = tmp_path / "bin/perf_analyzer"
    binary.parent.mkdir()
    binary.write_text("#!/bin/sh\necho libx.so is missing\nexit 127\n")
    binary.chmod(0o755)
    with pytest.raises(BenchmarkError, match=r"does not run here: libx\.so is missing"):
        perf_analyzer.install(tmp_path)


@pytest.mark.parametrize(("failures", "ends_well"), [(0, True), (2, True), (3, False)])
def test_a_failed_run_is_repeated_twice(tmp_path, failures, ends_well):
    tries, row = tmp_path / "tries", f"{HEAD}\n1,10,0,0,0,0,90000,0,0,90000,90000,90000,90000\n"
    binary = tmp_path / "perf_analyzer"
    binary.write_text(
        f"#!/bin/sh\necho try >> {tries}\n"
        f"if [ $(wc -l < {tries}) -le {failures} ]; then echo no such version; exit 99; fi\n"
        f'while [ "$1" != -f ]; do shift; done\nprintf "{row}" > "$2"\n'
    )
    binary.chmod(0o755)
    analyzer = perf_analyzer.PerfAnalyzer(binary, ())
    if ends_well:
        assert analyzer.run("127.0.0.1:1", "detector", tmp_path / "data.json", 1, 1)["compute_infer"] == 90
    else:
        with pytest.raises(BenchmarkError, match=r"failed 3 times: no such version"):
            analyzer.run("127.0.0.1:1", "detector", tmp_path / "data.json", 1, 1)
    assert len(tries.read_text().splitlines()) == min(failures + 1, 3)
